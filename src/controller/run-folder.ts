/** The run folder of root's daemon, unless it is given another one. */
export const ROOT_RUN_FOLDER = '/run/docker-publish'

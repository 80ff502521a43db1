/** The first part of each path; a change that breaks clients gets a new one. */
export const API_VERSION = 'v1'

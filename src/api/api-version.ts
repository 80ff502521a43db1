/** The first part of each path. A change that breaks clients increases it. */
export const API_VERSION = 'v1'

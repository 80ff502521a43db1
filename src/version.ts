// The build inserts both.
declare const BUILD_VERSION: string
declare const BUILD_COMMIT: string

export const VERSION = BUILD_VERSION
export const COMMIT = BUILD_COMMIT

/** `docker-proxy (commit abc1234) version 1.2.3`, in the form of Docker's programs. */
export function versionLine(program: string): string {
  return `${program} (commit ${COMMIT}) version ${VERSION}`
}

// Both are put in by the build.
declare const BUILD_VERSION: string
declare const BUILD_COMMIT: string

/** `docker-proxy (commit abc1234) version 1.2.3`, in the form of Docker's programs. */
export function versionLine(program: string): string {
  return `${program} (commit ${BUILD_COMMIT}) version ${BUILD_VERSION}`
}

import { RequestError } from '../../controller/request-error.js'

/** The newest version of the Engine API that is spoken: that of Docker 28.5. */
export const MAX_VERSION = '1.51'
/** The oldest version that is spoken. Since then the spoken parts have not changed. */
export const MIN_VERSION = '1.24'

/** A path of the Engine API: an optional version, then the path. */
const VERSIONED = /^\/v(\d+\.\d+)(\/.*)$/

/** Splits a path into a version of the Engine API and the rest. @returns undefined if it names no version */
export function splitVersion(path: string): { version: string; rest: string } | undefined {
  const [, version, rest] = VERSIONED.exec(path) ?? []
  return version !== undefined && rest !== undefined ? { version, rest } : undefined
}

/** @throws RequestError for any other version. The message has dockerd's words, because clients read them. */
export function checkVersion(version: string): void {
  if (compare(version, MAX_VERSION) > 0) {
    throw new RequestError(
      `client version ${version} is too new. Maximum supported API version is ${MAX_VERSION}`,
    )
  }
  if (compare(version, MIN_VERSION) < 0) {
    throw new RequestError(
      `client version ${version} is too old. Minimum supported API version is ${MIN_VERSION}, please upgrade your client to a newer version`,
    )
  }
}

/** Less than 0 if `a` is older than `b`. */
function compare(a: string, b: string): number {
  const [[major = 0, minor = 0] = [], [otherMajor = 0, otherMinor = 0] = []] = [a, b].map((each) =>
    each.split('.').map(Number),
  )
  return major - otherMajor || minor - otherMinor
}

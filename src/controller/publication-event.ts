/** Something that happened to a publication. */
export interface PublicationEvent {
  /** ISO 8601. */
  time: string
  type:
    'published' | 'withdrawn' | 'moved' | 'waiting' | 'adopted' | 'proxy-exited' | 'proxy-restarted'
  publication: string
  /** As `0.0.0.0:8080/tcp`. */
  port?: string
  reason?: string
  /** Where a publication that has moved forwards to now; empty while its container does not run. */
  backend?: string
}

/** Something that happened to a publication. */
export interface PublicationEvent {
  /** ISO 8601. */
  time: string
  type:
    | 'published'
    | 'withdrawn'
    /** It forwards to other addresses now. */
    | 'moved'
    /** Its container has no address at present. */
    | 'suspended'
    /** A port that labels ask for is taken. */
    | 'waiting'
    /** Labels can't be followed. */
    | 'refused'
    /** It has other options now. */
    | 'changed'
    /** Other processes serve it now. */
    | 'upgraded'
    | 'adopted'
    | 'proxy-exited'
    | 'proxy-restarted'
  publication: string
  /** As `0.0.0.0:8080/tcp`. */
  port?: string
  reason?: string
  /** Where a publication that has moved forwards to now. */
  backend?: string
}

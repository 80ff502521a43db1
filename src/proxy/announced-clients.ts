import { ClientNetworks } from './client-networks.js'
import type { ParsedHeader } from './parse-proxy-header.js'
import type { PortOptions } from './port-options.js'

/** See Transport.readHeader. */
type ReadHeader<Client> = (
  client: Client,
  done: (header: ParsedHeader | undefined) => void,
) => () => void

/** Clients that balancers announce by a header of the PROXY protocol. Only balancers in the networks of the option may announce clients. */
export class AnnouncedClients<Client, Tracked extends { readonly client: Client }> {
  readonly #reading = new Map<Tracked, () => void>()
  /** Undefined for no balancer. */
  #balancers: ClientNetworks | undefined
  #timeoutMs!: number

  /** @param done called for each client that was added: without a header if it is invalid or late */
  constructor(
    options: PortOptions,
    private readonly readHeader: ReadHeader<Client>,
    private readonly done: (tracked: Tracked, header: ParsedHeader | undefined) => void,
  ) {
    this.follow(options)
  }

  /** Follows other options from now on. */
  follow({ acceptProxy, acceptProxyTimeoutMs }: PortOptions): void {
    this.#balancers = ClientNetworks.only(acceptProxy)
    this.#timeoutMs = acceptProxyTimeoutMs
  }

  /** Whether there are balancers, so that the address of each client counts. */
  get isExpected(): boolean {
    return this.#balancers !== undefined
  }

  /** Whether a header comes from this address. @param ip the other end of a connection */
  isFrom(ip: string): boolean {
    return this.#balancers?.allows(ip) ?? false
  }

  /** Waits for the header of a client. */
  add(tracked: Tracked): void {
    let stop = (): void => undefined
    const end = (header: ParsedHeader | undefined): void => {
      clearTimeout(timer)
      this.#reading.delete(tracked)
      this.done(tracked, header)
    }
    const late = (): void => {
      stop()
      end(undefined)
    }
    const timer = this.#timeoutMs === Infinity ? undefined : setTimeout(late, this.#timeoutMs)
    stop = this.readHeader(tracked.client, end)
    this.#reading.set(tracked, () => {
      clearTimeout(timer)
      stop()
    })
  }

  /** Takes out the clients whose header has not come. */
  takeAll(): Tracked[] {
    const clients = [...this.#reading.keys()]
    for (const stop of this.#reading.values()) stop()
    this.#reading.clear()
    return clients
  }
}

import type { SocketAddress } from '../../src/linux/sockets/socket-address.js'
import type { ClosedRelay, OpenedRelay, ProxyObserver, Shortage } from '../../src/proxy/observer.js'

/** Keeps everything that a proxy reports. */
export class RecordingObserver implements ProxyObserver {
  acceptedCount = 0
  readonly failedDials: { readonly backend: SocketAddress; readonly code: unknown }[] = []
  readonly waitingDials: SocketAddress[] = []
  readonly openedRelays: OpenedRelay[] = []
  readonly closedRelays: ClosedRelay[] = []
  readonly shortages: Shortage[] = []
  readonly faults: unknown[] = []
  readonly degradations: string[] = []
  isStopped = false

  wantsRelay(): boolean {
    return true
  }

  accepted(): void {
    this.acceptedCount++
  }

  dialFailed(backend: SocketAddress, err: Error): void {
    this.failedDials.push({ backend, code: (err as NodeJS.ErrnoException).code })
  }

  dialWaits(backend: SocketAddress): void {
    this.waitingDials.push(backend)
  }

  relayOpened(relay: OpenedRelay): void {
    this.openedRelays.push(relay)
  }

  relayClosed(relay: ClosedRelay): void {
    this.closedRelays.push(relay)
  }

  shortage(shortage: Shortage): void {
    this.shortages.push(shortage)
  }

  faulted(err: unknown): void {
    this.faults.push(err)
  }

  degraded(reason: string): void {
    this.degradations.push(reason)
  }

  stopped(): void {
    this.isStopped = true
  }
}

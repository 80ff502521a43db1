import { arch, cpus, hostname, machine, release, totalmem } from 'node:os'
import type { PublicationView } from '../../controller/views.js'
import { COMMIT, VERSION } from '../../version.js'
import { MAX_VERSION, MIN_VERSION } from './docker-version.js'

const NAME = 'docker-publish'
/** Go's names of processor architectures. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' }

/** The server's part of `docker version`. */
export function describeVersion(): object {
  const details = {
    ApiVersion: MAX_VERSION,
    MinAPIVersion: MIN_VERSION,
    Os: 'linux',
    Arch: architecture(),
  }
  return {
    Platform: { Name: NAME },
    Components: [{ Name: 'Engine', Version: VERSION, Details: { ...details, GitCommit: COMMIT } }],
    ...{ Version: VERSION, GitCommit: COMMIT, GoVersion: '', BuildTime: '' },
    ...{ ...details, KernelVersion: release() },
  }
}

/** The server's part of `docker info`. */
export function describeSystem(publications: readonly PublicationView[]): object {
  const all = publications.length
  const isUp = ({ ports, labelError }: PublicationView): boolean =>
    labelError === undefined &&
    ports.every(({ state }) => !['waiting', 'closed', 'stopped'].includes(state))
  const running = publications.filter(isUp).length
  return {
    ...{ ID: '', Containers: all, ContainersRunning: running, ContainersPaused: 0 },
    ...{ ContainersStopped: all - running, Images: 0, Driver: '', DriverStatus: null },
    Plugins: { Volume: [], Network: [], Authorization: null, Log: [] },
    ...{ MemoryLimit: false, SwapLimit: false, IPv4Forwarding: true, Debug: false },
    ...{ NGoroutines: 0, LoggingDriver: '', CgroupDriver: '', NEventsListener: 0 },
    ...{ KernelVersion: release(), OperatingSystem: NAME, OSVersion: '', OSType: 'linux' },
    ...{ Architecture: machine(), NCPU: cpus().length, MemTotal: totalmem() },
    ...{ IndexServerAddress: '', RegistryConfig: null, DockerRootDir: '', Name: hostname() },
    ...{ Labels: [], ExperimentalBuild: false, ServerVersion: VERSION, Runtimes: {} },
    ...{ DefaultRuntime: '', Swarm: { LocalNodeState: 'inactive', ControlAvailable: false } },
    ...{
      LiveRestoreEnabled: false,
      Isolation: '',
      InitBinary: '',
      SecurityOptions: [],
      Warnings: null,
    },
  }
}

function architecture(): string {
  return ARCHITECTURES[arch()] ?? arch()
}

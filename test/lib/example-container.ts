import type { Container } from '../../src/docker/container.js'

/** A running container in Docker's default network. @param parts what is different */
export function exampleContainer(parts: Partial<Container> = {}): Container {
  return {
    ...{ id: 'a'.repeat(64), name: 'web_svr01', image: 'web:local', labels: {}, isRunning: true },
    ...{ pid: undefined, networkMode: 'bridge', exposed: [], published: [], compose: undefined },
    ...{ unpublished: [], startedAt: '2026-11-24T12:00:00Z' },
    networks: [{ id: 'bridge-id', name: 'bridge', ip: '172.17.0.2', ip6: undefined }],
    ...parts,
  }
}

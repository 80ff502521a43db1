import type { Figure, Results, Value } from '../../bench/lib/results.js'
import { summarize } from '../../bench/lib/statistics.js'

export function exampleValue(rounds: number[], base?: number): Value {
  const summary = summarize(rounds)
  const ratios: Record<string, number> =
    base === undefined ? {} : { 'docker-proxy': summary.median / base }
  return { rounds, ...summary, ratios }
}

const RATE: Figure = { key: 'rate', title: 'requests', unit: '/s', better: 'more' }
const P99: Figure = { key: 'p99', title: 'p99', unit: 'µs', better: 'less' }

/** Plausible results of two scenarios: the original, our native engine, and a peer that failed. */
export function exampleResults(): Results {
  return {
    version: 1,
    date: '2026-11-25T10:00:00.000Z',
    machine: {
      processor: 'Some <fast> & quiet one',
      cores: 2,
      memory: 24_105,
      kernel: '6.1.0',
      congestionControl: 'cubic',
      pinning: 'proxy, load and backend share 2 cores',
    },
    tools: { node: '20.20.2', wrk: '4.1.0' },
    rounds: 3,
    seconds: 1,
    interrupted: false,
    peers: [
      { name: 'docker-proxy', how: 'the original', version: '20.10.24', isOurs: false },
      { name: 'native', how: 'ours', version: '0.1.0', isOurs: true },
      { name: 'broken', how: 'it breaks', version: '1', isOurs: false },
    ],
    leftOut: [{ name: 'haproxy', reason: '/usr/sbin/haproxy is missing: install haproxy' }],
    scenarios: [
      {
        name: 'keepalive',
        title: 'HTTP keep-alive',
        load: 'autocannon, 64 connections',
        figures: [RATE, P99],
        rows: [
          {
            peer: 'docker-proxy',
            values: {
              rate: exampleValue([40_000, 39_000, 41_000], 40_000),
              p99: exampleValue([5_000, 5_000, 5_100], 5_000),
            },
          },
          {
            peer: 'native',
            values: {
              rate: exampleValue([50_000, 52_000, 51_000], 40_000),
              p99: exampleValue([4_000, 2_000, 4_100], 5_000),
            },
          },
          { peer: 'broken', values: {}, failure: 'it ended by SIGKILL, in round 2' },
        ],
      },
      {
        name: 'idle',
        title: 'idle connections',
        load: 'up to 3000',
        figures: [
          { key: 'at100', title: 'with 100', unit: 'MiB', better: 'less' },
          { key: 'at3000', title: 'with 3000', unit: 'MiB', better: 'less' },
        ],
        curve: {
          title: 'Memory over connections',
          xTitle: 'idle connections',
          unit: 'MiB',
          points: [
            { x: 100, key: 'at100' },
            { x: 3_000, key: 'at3000' },
          ],
        },
        rows: [
          {
            peer: 'docker-proxy',
            values: { at100: exampleValue([2], 2), at3000: exampleValue([42], 42) },
          },
          {
            peer: 'native',
            values: { at100: exampleValue([6], 2), at3000: exampleValue([11], 42) },
          },
          { peer: 'broken', values: {}, failure: 'with 100 connections: some were refused' },
        ],
      },
    ],
  }
}

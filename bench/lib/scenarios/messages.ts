import { missingBackend } from '../backends.js'
import { output } from '../child.js'
import { loadProgram } from '../places.js'
import type { Figures, Traffic } from '../scenario.js'

const always = (): undefined => undefined

const RATE = 2_000
const CONNECTIONS = 8
const PERCENTILES = ['p50', 'p90', 'p99', 'p99.9']

const latency: Traffic = {
  kind: 'traffic',
  name: 'latency',
  title: 'latency under a fixed rate',
  load: `${RATE} HTTP requests a second on ${CONNECTIONS} connections, sent on time whether others were answered or not`,
  backend: 'http',
  figures: PERCENTILES.map((key) => ({ key, title: key, unit: 'µs', better: 'less' })),
  curve: {
    title: 'Time to the answer',
    xTitle: 'percentile',
    unit: 'µs',
    points: PERCENTILES.map((key) => [key, key]),
  },
  cost: { unit: 'µs/request', scale: 1e6 },
  missing: () => missingBackend('http'),
  async measure(port, { site }, seconds) {
    const args = [port, seconds, RATE, CONNECTIONS].map(String)
    const command = site.load(process.execPath, loadProgram('rate'), ...args)
    const { answered = 0, ...figures } = JSON.parse(await output(command)) as Figures
    if (answered < RATE * seconds * 0.99) {
      throw new Error(`of ${RATE * seconds} requests ${answered} were answered`)
    }
    return { figures, work: answered }
  },
}

const fair: Traffic = {
  kind: 'traffic',
  name: 'fair',
  title: 'small messages beside a bulk stream',
  load: '8 connections in turn, echoed',
  backend: 'echo',
  figures: [
    { key: 'p99', title: 'p99', unit: 'µs', better: 'less' },
    { key: 'p50', title: 'p50', unit: 'µs', better: 'less' },
  ],
  cost: { unit: 'µs/message', scale: 1e6 },
  missing: always,
  async measure(port, { site }, seconds) {
    const args = ['client', String(port), String(seconds)]
    const command = site.load(process.execPath, loadProgram('fair'), ...args)
    const { count = NaN, ...figures } = JSON.parse(await output(command)) as Figures
    return { figures, work: count }
  },
}

const udp: Traffic = {
  kind: 'traffic',
  name: 'udp',
  title: 'UDP, 512 bytes echoed',
  load: '16 clients with 8 datagrams under way each',
  backend: 'udp',
  figures: [
    { key: 'rate', title: 'datagrams', unit: '/s', better: 'more' },
    { key: 'lost', title: 'lost', unit: '', better: 'less' },
  ],
  cost: { unit: 'µs/datagram', scale: 1e6 },
  missing: always,
  async measure(port, { site }, seconds) {
    const args = ['load', String(port), String(seconds), '16', '8']
    const command = site.load(process.execPath, loadProgram('udp'), ...args)
    const { received = NaN, ...figures } = JSON.parse(await output(command)) as Figures
    return { figures, work: received }
  },
}

export const MESSAGES: readonly Traffic[] = [latency, fair, udp]

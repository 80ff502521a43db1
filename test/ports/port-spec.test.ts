import t from 'tap'
import { formatPortRequest, parsePortSpec, PortSpecError } from '../../src/ports/port-spec.js'
import { seeded } from '../lib/seeded.js'

const tcp = { protocol: 'tcp' } as const
const one = (port: number) => ({ first: port, last: port })

t.test('every form of -p', async (t) => {
  const cases: [string, object[]][] = [
    ['80', [{ ...tcp, containerPort: 80 }]],
    [':80', [{ ...tcp, containerPort: 80 }]],
    ['0:80', [{ ...tcp, containerPort: 80 }]],
    ['8080:80', [{ ...tcp, hostPorts: one(8080), containerPort: 80 }]],
    ['8080:80/', [{ ...tcp, hostPorts: one(8080), containerPort: 80 }]],
    [
      'target=80,published=,mode=ingress,name=web,app_protocol=http',
      [{ ...tcp, containerPort: 80 }],
    ],
    ['8080:80/TCP', [{ ...tcp, hostPorts: one(8080), containerPort: 80 }]],
    ['127.0.0.1:8080:80', [{ ...tcp, ip: '127.0.0.1', hostPorts: one(8080), containerPort: 80 }]],
    ['127.0.0.1::80', [{ ...tcp, ip: '127.0.0.1', containerPort: 80 }]],
    ['[::1]:8080:80', [{ ...tcp, ip: '::1', hostPorts: one(8080), containerPort: 80 }]],
    ['::1:8080:80', [{ ...tcp, ip: '::1', hostPorts: one(8080), containerPort: 80 }]],
    ['[::]:8080:80', [{ ...tcp, ip: '::', hostPorts: one(8080), containerPort: 80 }]],
    ['[::1]::80', [{ ...tcp, ip: '::1', containerPort: 80 }]],
    ['8080:80/udp', [{ protocol: 'udp', hostPorts: one(8080), containerPort: 80 }]],
    ['80/sctp', [{ protocol: 'sctp', containerPort: 80 }]],
    ['8000-8009:80', [{ ...tcp, hostPorts: { first: 8000, last: 8009 }, containerPort: 80 }]],
    [
      '8000-8001:9000-9001',
      [
        { ...tcp, hostPorts: one(8000), containerPort: 9000 },
        { ...tcp, hostPorts: one(8001), containerPort: 9001 },
      ],
    ],
    [
      '9000-9001',
      [
        { ...tcp, containerPort: 9000 },
        { ...tcp, containerPort: 9001 },
      ],
    ],
    [
      'published=8080,target=80,protocol=tcp',
      [{ ...tcp, hostPorts: one(8080), containerPort: 80 }],
    ],
    ['target=53,protocol=udp,mode=host', [{ protocol: 'udp', containerPort: 53 }]],
    [
      'target=80,published=8080,host_ip=127.0.0.1',
      [{ ...tcp, ip: '127.0.0.1', hostPorts: one(8080), containerPort: 80 }],
    ],
    ['65535:1', [{ ...tcp, hostPorts: one(65535), containerPort: 1 }]],
  ]
  for (const [spec, requests] of cases) t.same(parsePortSpec(spec), requests, spec)
})

t.test('invalid input gets one line that quotes it and states the expected form', async (t) => {
  const cases: [string, string][] = [
    ['', 'no container port: expected [[hostIP:][hostPort'],
    ['8080:', 'no container port'],
    ['abc', 'the container port "abc" is neither a number nor a range'],
    ['8080:80:90', 'the host address "8080" is not an IP address'],
    ['1.2.3:8080:80', 'the host address "1.2.3" is not an IP address'],
    ['[]:8080:80', 'the host address "" is not an IP address'],
    ['localhost:8080:80', 'the host address "localhost" is not an IP address'],
    ['80/icmp', 'the protocol "icmp" is not one of tcp, udp, sctp'],
    ['80/tcp/udp', 'expected [[hostIP:]'],
    ['65536:80', 'the host port 65536 is not between 1 and 65535'],
    ['8080:0', 'a container port is between 1 and 65535'],
    ['8080:70000', 'the container port 70000 is not between 1 and 65535'],
    ['8009-8000:80', 'the range of host ports 8009-8000 ends before it starts'],
    ['0-10:80', 'a range of host ports starts at 1'],
    [
      '8000-8005:9000-9009',
      '6 host ports for 10 container ports: both ranges must have the same length',
    ],
    ['8080:80 ', 'the container port "80 " is neither'],
    ['-1:80', 'the host port "-1" is neither'],
    ['８０', 'the container port "８０" is neither'],
    ['published=8080', 'target=PORT, the container port, is missing'],
    ['published=8080,target=80,colour=red', '"colour=red" is not one of target=PORT'],
    ['target=', '"target=" is not one of'],
    ['0:80-81', '1 host port for 2 container ports: both ranges must have the same length'],
    ['a\nb:80', 'the host port "a\\nb" is neither'],
  ]
  for (const [spec, reason] of cases) {
    try {
      parsePortSpec(spec)
      t.fail(`accepted ${JSON.stringify(spec)}`)
    } catch (err) {
      t.type(err, PortSpecError)
      const { message } = err as Error
      t.ok(message.startsWith(`invalid port ${JSON.stringify(spec)}: ${reason}`), message)
      t.notMatch(message, '\n')
    }
  }
})

t.test(
  'fuzzed: accepted input is formatted back to the same, and other input gets one line',
  async (t) => {
    const random = seeded(20486)
    const pieces =
      '80 8080 0 65535 65536 1-3 3-1 : : : / - , = [ ] :: ::1 127.0.0.1 ::ffff:1.2.3.4 tcp udp sctp target published protocol \n é _ " \0 +'.split(
        ' ',
      )
    let accepted = 0
    for (let i = 0; i < 50_000; i++) {
      const count = Math.floor(random() * 8)
      const spec = Array.from(
        { length: count },
        () => pieces[Math.floor(random() * pieces.length)],
      ).join('')
      try {
        const requests = parsePortSpec(spec)
        accepted++
        const again = requests.flatMap((request) => parsePortSpec(formatPortRequest(request)))
        if (JSON.stringify(again) !== JSON.stringify(requests)) t.fail(`another meaning: ${spec}`)
      } catch (err) {
        const isClear = err instanceof PortSpecError && !/[\n\0]/.test(err.message)
        if (!isClear) t.fail(`${JSON.stringify(spec)}: ${String(err)}`)
      }
    }
    t.ok(accepted > 500, `${accepted} were accepted`)
  },
)

import t from 'tap'
import { checkTemplate, formatTemplate, isTemplate } from '../../src/cli/go-template.js'

const FIELDS = ['Name', 'Ports', 'Count']
const ROWS = [
  { Name: 'web', Ports: '80/tcp', Count: 3 },
  { Name: 'dns_svr01', Ports: '53/udp', Count: 0 },
]

t.test('fields, JSON and tables, as docker prints them', async (t) => {
  t.ok(isTemplate('{{.Name}}'))
  t.notOk(isTemplate('json'))
  t.equal(formatTemplate('{{.Name}}\\t{{ .Count }}', ROWS, FIELDS), 'web\t3\ndns_svr01\t0')
  t.equal(formatTemplate('{{.name}}', ROWS, FIELDS), 'web\ndns_svr01', 'in either case')
  t.doesNotThrow(() => checkTemplate('{{.name}}', '{{.Name}}', FIELDS))
  t.equal(formatTemplate('{{json .Name}}', ROWS, FIELDS), '"web"\n"dns_svr01"')
  t.equal(
    formatTemplate('{{json .}}', ROWS.slice(0, 1), FIELDS),
    '{"Name":"web","Ports":"80/tcp","Count":3}',
  )
  t.equal(
    formatTemplate('table {{.Name}}\\t{{.Ports}}', ROWS, FIELDS),
    'NAME        PORTS\nweb         80/tcp\ndns_svr01   53/udp',
  )
})

t.test('anything else of Go is refused, and unknown fields as well', async (t) => {
  t.throws(() => checkTemplate('{{range .Ports}}', '{{.Name}}', FIELDS), {
    code: 'EUSAGE',
    message:
      'invalid template "{{range .Ports}}": expected fields, for example {{.Name}}, or {{json .}}',
  })
  t.throws(() => checkTemplate('{{.Nam}}', '{{.Name}}', FIELDS), {
    message: 'unknown field "Nam" in the template "{{.Nam}}": expected one of Name, Ports, Count',
  })
})

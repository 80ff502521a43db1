import { printable, printableJson } from '../printable.js'
import { formatTable } from './table.js'
import { UsageError } from './usage-error.js'

/*
 * The part of Go's templates that docker's users write after --format: `{{.Name}}`, `{{json .}}`, and `table {{.Name}}\t{{.Ports}}`.
 */

/** A row: what each field prints. */
export type TemplateRow = Readonly<Record<string, unknown>>

const ACTION = /\{\{\s*(json\s+)?\.(\w*)\s*\}\}/g
const TABLE = /^table\s+/

/** Whether a --format is a template. */
export function isTemplate(format: string): boolean {
  return format.includes('{{')
}

/**
 * Formats rows, a line for each.
 * @param template that `checkTemplate` has accepted
 * @param fields that the rows have
 */
export function formatTemplate(
  template: string,
  rows: readonly TemplateRow[],
  fields: readonly string[],
): string {
  const body = template.replace(TABLE, '').replaceAll('\\t', '\t').replaceAll('\\n', '\n')
  const fill = (row: TemplateRow): string =>
    body.replaceAll(ACTION, (_, json: string | undefined, field: string) => {
      const value = field === '' ? row : row[nameIn(Object.keys(row), field) ?? field]
      if (json === undefined && typeof value === 'string') return printable(value)
      return value === undefined ? '' : printableJson(JSON.stringify(value))
    })
  if (!TABLE.test(template)) return rows.map(fill).join('\n')
  const header = Object.fromEntries(fields.map((field) => [field, field.toUpperCase()]))
  return formatTable(
    fill(header).split('\t'),
    rows.map((row) => fill(row).split('\t')),
  )
}

/**
 * Refuses a template that can't be filled, before anything is asked for.
 * @param example a template that can
 * @param fields that a template may name; any if undefined
 * @throws UsageError for an action that is not supported, and for an unknown field
 */
export function checkTemplate(template: string, example: string, fields?: readonly string[]): void {
  const rest = template.replaceAll(ACTION, '')
  if (/\{\{|\}\}/.test(rest)) {
    throw new UsageError(
      `invalid template ${JSON.stringify(template)}: expected fields, for example ${example}, or {{json .}}`,
    )
  }
  for (const [, , field = ''] of template.matchAll(ACTION)) {
    if (field === '' || !fields || nameIn(fields, field)) continue
    throw new UsageError(
      `unknown field "${field}" in the template ${JSON.stringify(template)}: expected one of ${fields.join(', ')}`,
    )
  }
}

/** The field that a template means. Docker's users write `.Name`, and our JSON has `name`: both are accepted. */
function nameIn(fields: readonly string[], given: string): string | undefined {
  if (fields.includes(given)) return given
  return fields.find((field) => field.toLowerCase() === given.toLowerCase())
}

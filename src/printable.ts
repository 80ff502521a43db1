/** Characters that could move a terminal's cursor, change its colours, or the direction of text: controls, and separators of lines. */
const UNPRINTABLE = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/gu
const HEX = 16
/** The highest character that is written with two digits. */
const MAX_BYTE = 0xff

/** Makes a text of foreign origin safe for one line: each unprintable character is written as `\x1b` or `\u202e`. */
export function printable(text: string): string {
  return text.replaceAll(UNPRINTABLE, escape)
}

/** The same for a text that may have several lines. */
export function printableLines(text: string): string {
  return text.replaceAll(UNPRINTABLE, (character) =>
    character === '\n' ? '\n' : escape(character),
  )
}

/** The same for JSON, which stays JSON. `JSON.stringify` leaves DEL, the C1 controls and bidirectional controls as they are. */
export function printableJson(json: string): string {
  return json.replaceAll(UNPRINTABLE, (character) =>
    character === '\n' ? '\n' : `\\u${hex(character, 4)}`,
  )
}

function escape(character: string): string {
  const isByte = character.charCodeAt(0) <= MAX_BYTE
  return isByte ? `\\x${hex(character, 2)}` : `\\u${hex(character, 4)}`
}

function hex(character: string, digits: number): string {
  return character.charCodeAt(0).toString(HEX).padStart(digits, '0')
}

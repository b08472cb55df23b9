import { MalformedError } from './bytes.ts';

/** One record of a pax extended header. Values are bytes: file capabilities are not text. */
export interface PaxRecord {
  key: string;
  value: Buffer;
}

/**
 * Records of a pax extended header, `<length> <key>=<value>\n` each, in order: sparse maps repeat a key.
 * @throws MalformedError
 */
export function parsePax(data: Buffer): PaxRecord[] {
  const records: PaxRecord[] = [];
  for (let at = 0; at < data.length; ) {
    // Some writers pad the header with NULs.
    if (data[at] === 0) break;
    const blank = data.indexOf(0x20, at);
    const digits = blank < 0 || blank - at > 10 ? '' : data.toString('latin1', at, blank);
    const length = /^[0-9]+$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    const equals = data.indexOf(0x3d, blank);
    if (length === 0 || end > data.length || data[end - 1] !== 0x0a || equals < 0 || equals >= end) {
      throw new MalformedError('an extended tar header is damaged');
    }
    records.push({
      key: data.toString('latin1', blank + 1, equals),
      value: data.subarray(equals + 1, end - 1),
    });
    at = end;
  }
  return records;
}

/** The inverse of {@link parsePax}. The length counts its own digits. */
export function encodePax(records: readonly PaxRecord[]): Buffer {
  return Buffer.concat(
    records.flatMap(({ key, value }) => {
      const rest = key.length + value.length + 3;
      let length = rest + String(rest).length;
      if (String(length).length > String(rest).length) length = rest + String(length).length;
      return [Buffer.from(`${length} ${key}=`, 'latin1'), value, Buffer.from('\n')];
    }),
  );
}

/** A decimal record such as `1700000000.5`, cut to whole seconds; undefined where it is no number. */
export function paxInteger(value: Buffer): number | undefined {
  const digits = value.toString('latin1');
  if (!/^-?[0-9]{1,16}(\.[0-9]*)?$/.test(digits)) return undefined;
  const whole = Math.floor(Number(digits));
  return Number.isSafeInteger(whole) ? whole : undefined;
}

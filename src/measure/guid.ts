/** Bytes in a GUID. */
export const guidSize = 16;

/**
 * The EFI form of a GUID: the first three groups little-endian, the rest as written (UEFI 2.10, appendix A).
 * @param text `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`
 */
export function guidBytes(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex');
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

/** The text form, lower case, of the EFI GUID at an offset. Inverse of {@link guidBytes}. */
export function readGuid(bytes: Buffer, offset: number): string {
  const group = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
  return [
    group(bytes.readUInt32LE(offset), 8),
    group(bytes.readUInt16LE(offset + 4), 4),
    group(bytes.readUInt16LE(offset + 6), 4),
    bytes.toString('hex', offset + 8, offset + 10),
    bytes.toString('hex', offset + 10, offset + 16),
  ].join('-');
}

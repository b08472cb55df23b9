export interface MeasurementErrorOptions {
  /** Byte offset in the file the message is about. */
  offset?: number;
  cause?: unknown;
}

/**
 * An input that cannot be measured, or whose digest would promise something that the launch does not
 * hold. The message reads *cannot <verb> <object>: <cause>* and names the offset and what was expected.
 */
export class MeasurementError extends Error {
  /** Byte offset in the refused file, where one byte range is to blame. */
  readonly offset: number | undefined;

  constructor(message: string, options: MeasurementErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MeasurementError';
    this.offset = options.offset;
  }
}

/** `0x`-prefixed lower-case hex, the way offsets and addresses appear in messages. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

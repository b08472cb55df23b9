import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readVerdict } from '../../../src/boot/verdict.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'verdict-test-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function verdictOf(content: string | Buffer) {
  const file = join(folder, 'verdict');
  await writeFile(file, content);
  return readVerdict(file);
}

const record = (result: string, code = '', message = 'm') => `${JSON.stringify({ result, code, message })}\n`;

describe('readVerdict', () => {
  it('is undefined without a file, for an empty one, and for noise', async () => {
    expect(await readVerdict(join(folder, 'absent'))).toBeUndefined();
    expect(await verdictOf('')).toBeUndefined();
    expect(await verdictOf(Buffer.from([0, 255, 10, 254, 10]))).toBeUndefined();
    expect(await verdictOf('null\n[]\n"ok"\n{}\n1\n')).toBeUndefined();
  });

  it('takes the last record', async () => {
    expect(await verdictOf(record('ok') + record('failed', 'E70', 'gone'))).toEqual({
      result: 'failed',
      code: 'E70',
      message: 'gone',
    });
  });

  it('passes over a cut-off line and noise behind the last whole record', async () => {
    const kept = { result: 'failed', code: 'E41', message: 'm' };
    expect(await verdictOf(`${record('failed', 'E41')}{"result":"ok","code":"","mess`)).toEqual(kept);
    expect(await verdictOf(`${record('failed', 'E41')}\u0000\u0000\n\n`)).toEqual(kept);
  });

  it.each([
    ['another result', { result: 'fine', code: '', message: '' }],
    ['a code that is too long', { result: 'ok', code: 'E'.repeat(17), message: '' }],
    ['a message that is too long', { result: 'ok', code: '', message: 'm'.repeat(4097) }],
    ['a message of another type', { result: 'ok', code: '', message: 1 }],
    ['no message', { result: 'ok', code: '' }],
  ])('takes no record with %s', async (_, value) => {
    expect(await verdictOf(`${JSON.stringify(value)}\n`)).toBeUndefined();
  });

  it('keeps the three fields alone', async () => {
    expect(await verdictOf('{"result":"ok","code":"","message":"m","__proto__":{"x":1},"more":2}\n')).toEqual(
      { result: 'ok', code: '', message: 'm' },
    );
  });

  it('finds the last record behind megabytes, and looks no further back than 64 KiB', async () => {
    const noise = 'x'.repeat(1 << 21);
    expect(await verdictOf(`${noise}\n${record('ok')}`)).toEqual({ result: 'ok', code: '', message: 'm' });
    expect(await verdictOf(`${record('ok')}${noise}`)).toBeUndefined();
  });
});

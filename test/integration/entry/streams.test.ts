import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readInTurns } from '../report/programs/read-in-turns.ts';
import { Checkout } from './checkout.ts';

// What cvm_build.sh says before the builder runs: FLARE reads that as well.
let checkout: Checkout;
beforeEach(async () => {
  checkout = await Checkout.make();
});
afterEach(() => checkout[Symbol.asyncDispose]());

const shell = (redirection: string) =>
  checkout.run('sh', ['-c', `"$0" x ${redirection}`, join(checkout.root, 'cvm_build.sh')]);

describe('a set-up with something to say', () => {
  it.each([
    '>&-',
    '2>&-',
    '>&- 2>&-',
    '>/dev/full 2>/dev/full',
  ])('goes on to the build with %s', async (redirection) => {
    expect((await shell(redirection)).status).toBe(0);
    expect(await checkout.calls()).toHaveLength(1);
    // The second time there is nothing to say: the packages are complete.
    expect((await checkout.build('x')).stderr).toBe('');
  });

  it('goes on where the reader has left', async () => {
    const late = '{ sleep 0.5; "$0" x; } 2>&1 | true';
    await checkout.run('bash', ['-c', late, join(checkout.root, 'cvm_build.sh')]);
    // By a signal it would have ended before it called npm.
    expect(await checkout.calls()).toHaveLength(1);
  });

  it('that fails ends with status 2 and hangs no reader in turns, whatever bytes npm says', async () => {
    await checkout.program('npm', [
      // Characters of two and three bytes, shifted from line to line so that any cut falls into some; and bytes that are no text.
      `for line in 1 2 3 4 5 6 7 8 9; do printf '\\377%0*d' "$line" 0; seq -f 'é€%.0f' 200 | tr -d '\n'; echo; done`,
      'exit 1',
    ]);
    const command = join(checkout.root, 'cvm_build.sh');
    await chmod(command, 0o755);
    const env = { PATH: `${checkout.folder}/programs:${process.env.PATH}`, HOME: checkout.folder };
    for (const locale of ['C', 'C.UTF-8']) {
      const result = readInTurns([command, 'x'], { env: { ...env, LC_ALL: locale } });
      expect(result).toMatchObject({ status: 2, bundle: null });
      expect(result!.err.join('')).toContain('é€');
      expect(result!.err.at(-2)).toMatch(/^error: cannot install the npm packages: npm ci failed/);
      expect(Buffer.byteLength(result!.err.join(''))).toBeLessThan(16 * 1024);
    }
  });
});

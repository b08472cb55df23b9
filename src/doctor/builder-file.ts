import { join } from 'node:path';
import { openRegularFile } from '../host/files.ts';
import type { Check } from './check.ts';

/** Whether builder.yml says what it may. */
export const builderFileCheck: Check = {
  id: 'settings.builder-file',
  title: 'builder.yml',
  run: async ({ situation }) => {
    const { file, errors, warnings } = situation;
    if (file === undefined) {
      return {
        status: 'info',
        says: 'there is none: the defaults hold',
        hint: 'docs/configuration.md has all keys',
      };
    }
    const facts = { file, errors, warnings };
    const details = [...errors, ...warnings.map((text) => `${text} (warning)`)];
    const count = (found: readonly string[], what: string) =>
      `${found.length} ${what}${found.length === 1 ? '' : 's'}`;
    if (errors.length > 0) {
      const says = `${file}: ${count(errors, 'mistake')}; the checks go on with the defaults`;
      return { status: 'problem', says, hint: 'correct the lines above', details, facts };
    }
    if (warnings.length > 0) {
      return { status: 'warning', says: `${file}: ${count(warnings, 'warning')}`, details, facts };
    }
    return { status: 'ok', says: file, facts };
  },
};

/** The programs that only the administrator can bring. */
export const binariesCheck: Check = {
  id: 'settings.binaries',
  title: 'binaries',
  run: async ({ situation }) => {
    const { binaries, builder } = situation;
    const client = await programFault(join(binaries, 'kbs-client'));
    const snpguest = await programFault(join(binaries, 'snpguest'));
    const facts = { kbsClient: client === undefined, snpguest: snpguest === undefined };
    const hint = 'binaries/README.md says which to put there';
    if (client !== undefined) {
      const production = builder.kbs.url !== undefined;
      const says = `kbs-client ${client}: no production bundle can be built`;
      return { status: production ? 'problem' : 'info', says, hint, facts };
    }
    if (snpguest !== undefined) {
      const says = `kbs-client; snpguest ${snpguest}: bundles show no measurement, and the workload gets no report`;
      return { status: 'info', says, hint, facts };
    }
    return { status: 'ok', says: 'kbs-client, snpguest', facts };
  },
};

/** What keeps a file from running in the CVM, completing its name; undefined where nothing is seen. */
async function programFault(file: string): Promise<string | undefined> {
  try {
    await using handle = await openRegularFile(file);
    const header = Buffer.alloc(20);
    await handle.read(header, 0, header.length, 0);
    return isX86Program(header) ? undefined : 'is no program for x86_64';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? 'is missing' : `cannot be read (${code})`;
  }
}

/**
 * An ELF header (System V ABI, figure 4-3): magic at 0, class at 4 (2: 64 bits), byte order at 5 (1: little-endian), type
 * at 16 (2 or 3: a program), machine at 18 (62: x86-64).
 */
export function isX86Program(header: Buffer): boolean {
  if (header.length < 20 || header.readUInt32BE(0) !== 0x7f454c46) return false;
  const [bits, order] = [header[4], header[5]];
  return (
    bits === 2 && order === 1 && [2, 3].includes(header.readUInt16LE(16)) && header.readUInt16LE(18) === 62
  );
}

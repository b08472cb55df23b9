import { chmod, chown, lchown, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { whyNotOwn } from '../../../src/host/folders.ts';
import { nobody } from '../build/bench.ts';

const root = process.getuid?.() === 0;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'own-test-'));
  await mkdir(join(folder, 'real/handoff'), { recursive: true });
});
afterEach(() => rm(folder, { recursive: true }));

describe('a folder to build into', () => {
  it('may be a link of one’s own, and need not be there yet', async () => {
    await symlink('real', join(folder, 'link'));
    for (const name of ['real/handoff', 'link/handoff', 'link/new/handoff', 'new'])
      expect(await whyNotOwn(join(folder, name))).toBeUndefined();
  });

  it('may lie in a folder of all accounts only where that is sticky', async () => {
    await chmod(join(folder, 'real'), 0o1777);
    expect(await whyNotOwn(join(folder, 'real/handoff'))).toBeUndefined();
    await chmod(join(folder, 'real'), 0o777);
    expect(await whyNotOwn(join(folder, 'real/handoff'))).toBe(`every account may write to ${folder}/real`);
    await symlink('real/handoff', join(folder, 'link'));
    expect(await whyNotOwn(join(folder, 'link'))).toBe(`every account may write to ${folder}/real`);
  });

  it('is none where its links lead round', async () => {
    await symlink('round', join(folder, 'round'));
    expect(await whyNotOwn(join(folder, 'round/handoff'))).toBe(`${folder}/round is one link too many`);
  });

  it.runIf(root)('is none where a part or a link of its path is another account’s', async () => {
    await symlink('real', join(folder, 'link'));
    await lchown(join(folder, 'link'), nobody.uid, nobody.gid);
    expect(await whyNotOwn(join(folder, 'link/handoff'))).toBe(
      `${folder}/link belongs to another account (uid ${nobody.uid})`,
    );
    await chown(join(folder, 'real'), nobody.uid, nobody.gid);
    expect(await whyNotOwn(join(folder, 'real/handoff/new'))).toBe(
      `${folder}/real belongs to another account (uid ${nobody.uid})`,
    );
  });
});

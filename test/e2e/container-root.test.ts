import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { allMountPoints } from '../../src/workload/runtime/mounts.ts';
import { archiveOf, type Item, layerOf } from '../integration/workload/images.ts';
import { built } from './built.ts';
import { buildWith, copyBuilder } from './changed-builder.ts';
import { type Boot, useFolder, type Vm } from './harness.ts';

/**
 * An image whose /applog is a link to the container's own /proc/sys as the VM sees it, sealed by a builder that does not look. With
 * that link followed from outside, its program became root of the VM through core_pattern. Beside it in the same image: a root file
 * system for each folder that is mounted over, and each on the way to one, with a link there.
 */
let vm: Vm;
let end: Boot;
/** What the VM said to each of the roots: exit status, then words. */
const answers = new Map<string, string>();

afterAll(async () => {
  await vm?.[Symbol.asyncDispose]();
});

const target = '/run/cvm/workload/rootfs/proc/sys';
const folder = (name: string): Item => [`${name}/`, { type: 'directory', mode: 0o755 }];
const link = (name: string, linkName = target): Item => [name, { type: 'symlink', linkName }];

const components = [
  ...new Set(
    allMountPoints.flatMap((point) => {
      const parts = point.slice(1).split('/');
      return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
    }),
  ),
];

/** Roots by name: one for each component, then other kinds of files, then those that must be taken. */
const roots: Record<string, Item[]> = {
  ...Object.fromEntries(
    components.map((path) => {
      const parts = path.split('/');
      const above = parts.slice(0, -1).map((_, index) => folder(parts.slice(0, index + 1).join('/')));
      return [`link-${parts.join('-')}`, [...above, link(path)]];
    }),
  ),
  'relative-link': [link('vault', '../../../../../../proc')],
  'link-to-a-folder-inside': [folder('data'), link('applog', 'data')],
  file: [['user_data', { body: 'x' }]],
  pipe: [['dev', { type: 'fifo' }]],
  'taken-empty': [folder('bin')],
  'taken-with-folders': ['dev', 'proc', 'sys', 'applog', 'vault', 'user_data', 'user_config', 'host'].map(
    folder,
  ),
  'taken-with-links-in-etc': [
    folder('etc'),
    link('etc/hosts'),
    link('etc/resolv.conf'),
    link('etc/hostname'),
  ],
};

const escapeProgram = `#!/bin/sh
exec > ${target.replace('/proc/sys', '/applog')}/escaped.txt
id
`;

async function hostileImage(): Promise<Buffer> {
  const inRoot = (root: string, items: Item[]) =>
    items.map(([name, more = {}]): Item => [`roots/${root}/${name}`, more]);
  return archiveOf(
    [
      layerOf(
        ...['bin', 'run', 'run/cvm', 'run/cvm/workload', 'run/cvm/workload/rootfs'].map(folder),
        ['bin/busybox', { body: await readFile('/bin/busybox'), mode: 0o755 }],
        link('bin/sh', 'busybox'),
        link('applog'),
        ['escape', { body: escapeProgram, mode: 0o755 }],
        ['x', { body: '#!/bin/sh\n/bin/busybox echo started\n/bin/busybox kill -SEGV $$\n', mode: 0o755 }],
        folder('roots'),
        ...Object.entries(roots).flatMap(([name, items]) => [
          folder(`roots/${name}`),
          ...inRoot(name, items),
        ]),
      ),
    ],
    { config: { config: { Cmd: ['/x'] } } },
  );
}

/** Before the workload: the guest's own look at each of the roots. */
const look = `#!/bin/sh
[ ! -e /run/cvm/looked ] || exit 0
: > /run/cvm/looked
for root in /run/cvm/workload/rootfs/roots/*; do
  words=$(/usr/lib/cvm/attach-mounts "$root" /usr/lib/cvm/workload/mount-points /run/cvm/user-namespace 2>&1)
  echo "\${root##*/} $? $words" >> /applog/roots.txt
done
grep ' /run/cvm/workload/rootfs/roots/' /proc/self/mountinfo | cut -d ' ' -f 5 > /applog/mounted.txt
`;

async function change(file: string, before: string, after: string): Promise<void> {
  const text = await readFile(file, 'utf8');
  if (text.split(before).length !== 2) throw new Error(`${file} is not as this test knows it`);
  await writeFile(file, text.replace(before, after));
}

test('a builder that looks refuses the image, by path and layer', async () => {
  const refused = useFolder(async (work) => {
    const builder = await copyBuilder(work);
    return buildWith(builder, await hostileImage(), { work, built: built() });
  });
  await expect(refused).rejects.toThrow('/applog is a symbolic link in layer 1 of the image');
});

test('a VM with the image sealed all the same boots', async () => {
  vm = await useFolder(async (work) => {
    const builder = await copyBuilder(work);
    await change(
      join(builder, 'src/workload/runtime/config.ts'),
      '  refuseNoFolders(',
      '  void (() => refuseNoFolders)(',
    );
    // This site has neither a GPU nor snpguest; the guest is to look as if it had.
    await change(
      join(builder, 'src/build.ts'),
      'mountPointsFor(container)',
      'mountPointsFor({ hostBin: true, gpu: true })',
    );
    const units = join(builder, 'templates/site/units');
    await mkdir(join(units, 'cvm-workload.service.d'));
    await writeFile(
      join(units, 'cvm-workload.service.d/look.conf'),
      '[Service]\nExecStartPre=/usr/lib/systemd/system/look\nTimeoutStartSec=infinity\n',
    );
    await writeFile(join(units, 'look'), look);
    await chmod(join(units, 'look'), 0o755);
    return buildWith(builder, await hostileImage(), { work, built: built() });
  });
  end = await vm.boot();
  for (const line of ((await vm.log('roots.txt')) ?? '').trimEnd().split('\n')) {
    const [, name = '', answer = ''] = /^(\S+) (.*)$/.exec(line) ?? [];
    answers.set(name, answer.trim());
  }
  expect([...answers.keys()].toSorted()).toEqual(Object.keys(roots).toSorted());
});

test('the guest refuses it before the runtime starts, and says why', async () => {
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'failed', code: 'E75' } });
  expect(end.verdict?.message).toMatch(
    /^the container cannot be set up: the image has no folder at \/applog: /,
  );
  expect(await vm.log('boot.log')).toMatch(/FAILED E75: .*\n.*powering off\n$/);
  expect(await vm.log('workload.log')).toBe('');
  expect(await vm.log('escaped.txt')).toBeUndefined();
});

test.each(
  Object.keys(roots).filter((name) => !name.startsWith('taken')),
)('the guest refuses a root with something else in the place of a folder: %s', (name) => {
  expect(answers.get(name)).toMatch(
    /^3 the image has no folder at \/\S+: (Too many levels of symbolic links|Not a directory)/,
  );
});

test('the guest takes roots without, and mounts nothing for the others', async () => {
  const taken = Object.keys(roots).filter((name) => name.startsWith('taken'));
  for (const name of taken) expect(answers.get(name), name).toBe('0');
  const mounted = ((await vm.log('mounted.txt')) ?? '').trimEnd().split('\n');
  const expected = taken.flatMap((name) =>
    ['applog', 'sys', 'user_config', 'user_data', 'vault'].map(
      (point) => `/run/cvm/workload/rootfs/roots/${name}/${point}`,
    ),
  );
  expect(mounted.toSorted()).toEqual(expected.toSorted());
});

import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openDrive } from '../../src/drives/index.ts';
import { workDirectory } from '../../src/host/temp.ts';
import { archiveOf } from '../integration/workload/images.ts';
import { built } from './built.ts';
import { type Boot, useFolder } from './harness.ts';
import type { ImageCase } from './images/base.ts';
import { buildBundleOf, mountPoints } from './images/bundle.ts';
import { imageCases } from './images/cases.ts';
import { layerTar } from './images/layers.ts';
import { linesOf, listedTree, type Tree, umociTree } from './images/tree.ts';

/** What the guest wrote on applog, by name; filled by the first test. */
const logs = new Map<string, string>();
const log = (name: string) => logs.get(name) ?? `there is no ${name}`;

test('all images run in one boot', async () => {
  await using vm = await useFolder((work) => buildBundleOf(imageCases, work, built()));
  const end: Boot = await vm.boot({ timeout: 850 });
  await using drive = await openDrive(vm.file('applog.qcow2'));
  for (const { name, kind } of (await drive.list('/')) ?? []) {
    if (kind !== 'file') continue;
    const content = await drive.readFile(`/${name}`, 2 ** 28);
    if (content !== undefined) logs.set(name, content.toString('latin1'));
  }
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok' } });
});

describe('an image in the CVM', () => {
  const lines = (name: string) => log(`${name}.run`).trimEnd().split('\n');

  test.each(imageCases)('runs as its configuration says: $name', ({ name, says }) => {
    const said = lines(name);
    expect(said).toEqual(expect.arrayContaining([...says, 'hostname site-1', 'seccomp 2', 'audit done']));
    expect(said).toEqual(
      expect.arrayContaining([
        'limit open files: 1048576 1048576 files ',
        'limit core file size: 0 0 bytes ',
        'limit processes: unlimited unlimited processes ',
        'modes 666 666 666 ',
        'mask 0022',
        'devices core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ',
      ]),
    );
    expect(said.at(-1)).toBe('exit 0');
  });

  test('gets its arguments in order, and no others', () => {
    const given = (name: string) => lines(name).filter((line) => line.startsWith('argument'));
    expect(given('exec-root')).toHaveLength(5);
    expect(given('whiteouts')).toEqual([]);
  });

  test('a container cannot leave its room', () => {
    // By name what `roomSays` holds as a whole: the probes that T12 is about.
    const said = lines('exec-root');
    for (const call of ['packet-socket', 'raw-socket', 'vsock']) expect(said).toContain(`probe ${call} 255`);
    expect(said).toContain('tried a packet socket failed');
    expect(said).toContain('tried reading sev-guest failed');
    // In a user namespace no node for a device can be made, and so none be opened.
    expect(said.filter((line) => line.startsWith('cannot make'))).toHaveLength(7);
  });

  test('no mount of a container appears in the VM, where a link of the image leads it to a device', () => {
    expect(log('etc.txt')).toMatch(/^(regular (empty )?file\n){3}$/);
    expect(lines('links-to-devices')).toContain('audit done');
  });

  test('has shared memory of a quarter of the RAM', () => {
    const number = (key: string) =>
      Number(new RegExp(`^${key} (\\d+)$`, 'm').exec(log('exec-root.run'))?.[1]);
    expect(number('shm') / number('memory')).toBeCloseTo(0.25, 2);
  });

  test.each(imageCases)('shows the tree that umoci unpacks: $name', async (image) => {
    const unpacked = await unpackedByUmoci(image);
    const listed = listedTree(log(`${image.name}.list`));
    const made = pathsMadeFor(image);
    const hidden = (path: string) => [...mountPoints].some((point) => `${path}/`.startsWith(`${point}/`));
    const shown = (tree: Tree) =>
      new Map(
        [...tree].filter(([path]) => path !== '' && !hidden(path) && (unpacked.has(path) || !made.has(path))),
      );
    const theirs = shown(unpacked);
    const ours = shown(listed);
    expect(ours.size).toBeGreaterThan(4);
    // Making a mount point changes its folder's time.
    for (const path of made) for (const tree of [ours, theirs]) delete tree.get(posix.dirname(path))?.mtime;
    expect(linesOf(ours, unpacked, ['xattrs'])).toEqual(linesOf(theirs, unpacked, ['xattrs']));
  });
});

describe('the workload proper', () => {
  test('runs as its user in its folder, with its volume made', () => {
    expect(log('workload.log')).toMatch(/^user 2000 10 10\nvolume 755 0\nopened again$/m);
  });

  test('meets the cap of its writable layer, and the boot log says so', () => {
    expect(log('boot.log')).toMatch(
      /\] the writable layer of the container, which is in RAM, is (9[5-9]|100) % full/,
    );
    expect(logs.has('workload.log.1') ? log('workload.log') : '').not.toContain('it has no cap');
  });

  test('is started again after it failed, with its exit status in the log', () => {
    expect(log('boot.log')).toMatch(
      /FAILED E70: the workload failed \(exited 7\) after \d+ s\n.*\] starting the workload again in 5 s\n.*\] the workload ended well/,
    );
  });

  test('keeps its writable layer over the restart, and not its shared memory', () => {
    expect(log('workload.log')).toMatch(/^kept first first $/m);
    expect(log('workload.log')).toMatch(/^second run done\n$/m);
  });

  test('turns its log to a new file by an eighth of the drive, and loses no line of the last file', () => {
    const eighth = 2 ** 30 / 8;
    const before = logs.get('workload.log.1')?.length ?? 0;
    expect(before).toBeGreaterThan(0.8 * eighth);
    expect(before).toBeLessThan(1.2 * eighth);
    const flood = `${log('workload.log.1')}${log('workload.log')}`.split('\n');
    const odd = flood.filter((line) => line !== 'words of the workload');
    expect(odd.length).toBeLessThan(25);
    expect(odd).toEqual(expect.arrayContaining(['first run done', 'second run done']));
  });
});

/** Mount points, what is above them, and what else the runtime or the probes make: not the image's. */
function pathsMadeFor({ makes = [] }: ImageCase): Set<string> {
  const paths = new Set<string>();
  for (const path of [...mountPoints, ...makes]) {
    for (let at = path; at !== '.'; at = posix.dirname(at)) paths.add(at);
  }
  return paths;
}

async function unpackedByUmoci({ layers }: ImageCase): Promise<Tree> {
  await using work = await workDirectory();
  const cwd = work.path;
  await writeFile(join(cwd, 'image.tar'), archiveOf(layers.map((layer) => layerTar(layer))));
  const env = { ...process.env, HOME: cwd, XDG_RUNTIME_DIR: cwd };
  execFileSync('skopeo', ['copy', '-q', '--insecure-policy', 'docker-archive:image.tar', 'oci:layout:tag'], {
    cwd,
    env,
  });
  execFileSync('umoci', ['unpack', '--rootless', '--image', 'layout:tag', 'bundle'], {
    cwd,
    env,
    stdio: 'ignore',
  });
  return umociTree(join(cwd, 'bundle'));
}

import { appendFile, chmod, cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { projectRoot } from '../../src/build/builder-file.ts';
import { bundleFolderPattern } from '../../src/bundle/index.ts';
import { workDirectory } from '../../src/host/temp.ts';
import { templatePath } from '../../src/host/template.ts';
import { which } from '../../src/host/tools.ts';
import { packCpio } from '../../src/initrd/cpio.ts';
import { archiveOf, type Item, layerOf } from '../integration/workload/images.ts';
import { built } from './built.ts';
import { type BootSettings, useFolder, type Vm } from './harness.ts';

const scripts = join(import.meta.dirname, 'audit');

/** What differs from a plain site. */
export interface AuditSettings {
  /** `uid:gid` that the script runs as; root unless set. */
  user?: string;
  /** Settings of cc_config beside or in place of the plain ones, as YAML. */
  settings?: Readonly<Record<string, string>>;
  /** Variables of the build. */
  env?: Readonly<Record<string, string>>;
  /** Changes the startup kit of this bundle, a copy of the quickstart's. */
  kit?: (folder: string) => Promise<void>;
  /** Makes a builder.yml for this bundle in a folder of its own, and returns its path. */
  builderFile?: (folder: string) => Promise<string>;
}

const plainSite = {
  ...{ compute_env: 'onprem_cvm', cc_cpu_mechanism: 'amd_sev_snp', role: 'client', root_drive_size: '2' },
  ...{ applog_drive_size: '1', user_config_drive_size: '1', user_data_drive_size: '1' },
  user_config: '{ nvflare: site-1 }',
  ...{ allowed_ports: '[]', allowed_out_ports: '[]' },
  cc_issuers: '[{ id: snp_authorizer, path: x.SNPAuthorizer, token_expiration: 100 }]',
  cc_attestation: '{ check_frequency: 120 }',
};

/**
 * A development bundle whose workload is a script of test/e2e/audit, in an image of a static busybox. What the script says
 * of the VM it looks around in, {@link auditLines} reads.
 */
export function auditBundle(
  script: string,
  { user = '', settings = {}, env = {}, kit, builderFile }: AuditSettings = {},
): Promise<Vm> {
  return useFolder(async (work) => {
    const archive = join(work, 'audit.tar');
    await writeFile(archive, await auditImage(script, user));
    await cp(built().kit, join(work, 'site-1'), { recursive: true });
    await kit?.(join(work, 'site-1'));
    const config = join(work, 'cc_site-1.yml');
    const site = Object.entries({ ...plainSite, docker_archive: archive, ...settings });
    await writeFile(config, site.map(([key, value]) => `${key}: ${value}\n`).join(''));
    const output = join(work, 'out');
    const builder = builderFile && ['--config', await builderFile(work)];
    await execa(
      join(projectRoot, 'bin/cvm'),
      ['build', '--dev', '--output', output, ...(builder ?? []), config],
      {
        cwd: work,
        env: { ...env, XDG_STATE_HOME: built().stateHome },
      },
    );
    const folders = await readdir(join(output, 'target'));
    return join(output, 'target', folders.find((name) => bundleFolderPattern.test(name))!);
  });
}

/** What the script said in the VM, a line each, without its `audit: `. */
export async function auditLines(vm: Vm): Promise<string[]> {
  const log = (await vm.log('workload.log')) ?? '';
  return [...log.matchAll(/^audit: (.*)$/gm)].map((match) => match[1]!);
}

async function auditImage(script: string, user: string): Promise<Buffer> {
  const busybox = which('busybox')!;
  const program = { mode: 0o755 };
  const { stdout } = await execa(busybox, ['--list']);
  const names = stdout.split('\n').filter((name) => /^[a-z0-9_[-]+$/.test(name) && name !== 'busybox');
  const base: Item[] = [
    ...['bin', 'etc', 'mnt'].map((name): Item => [name, { type: 'directory', mode: 0o755 }]),
    ['tmp', { type: 'directory', mode: 0o1777 }],
    ['bin/busybox', { ...program, body: await readFile(busybox) }],
    ...names.map((name): Item => [`bin/${name}`, { type: 'symlink', linkName: 'busybox', mode: 0o777 }]),
    ['etc/passwd', { body: 'root:x:0:0:root:/:/bin/sh\n' }],
  ];
  const audit: Item[] = [['audit', { ...program, body: await readFile(join(scripts, `${script}.sh`)) }]];
  const config = { Cmd: ['/audit'], Env: ['PATH=/bin'], User: user };
  return archiveOf([layerOf(...base), layerOf(...audit)], { config: { config } });
}

/**
 * Puts a file, or a changed one, into the initrd: the kernel unpacks one archive after the other, the last one wins. Nothing
 * of what a test needs to look about has to be in any bundle this way. Hardware would measure it, so the key broker must be
 * told the digest of the bundle as it was built: {@link asBuilt}.
 */
export async function plant(vm: Vm, files: Readonly<Record<string, string>>): Promise<void> {
  await using work = await workDirectory();
  const tree = join(work.path, 'tree');
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(tree, name)), { recursive: true });
    await writeFile(join(tree, name), text);
    if (name.startsWith('usr/')) await chmod(join(tree, name), 0o755);
  }
  const archive = join(work.path, 'planted.cpio.zst');
  await packCpio(tree, archive, 1);
  await appendFile(vm.file('initrd.img'), await readFile(archive));
}

/** Plants test/e2e/audit/guest.sh, started beside systemd as it takes over. */
export async function plantGuestAudit(vm: Vm): Promise<void> {
  await plant(vm, { 'usr/lib/cvm/audit': await readFile(join(scripts, 'guest.sh'), 'utf8') });
  await plantAtHandOver(vm, [
    'cp /usr/lib/cvm/audit run/audit.sh',
    // The shell gives what it starts aside /dev/null, and the real one is in the sealed system by then.
    ': > /dev/null',
    'chroot . /bin/sh /run/audit.sh &',
  ]);
}

/** Plants commands that InitApp runs in the root of the sealed system just before systemd takes over. */
export async function plantAtHandOver(vm: Vm, commands: readonly string[]): Promise<void> {
  const sealed = await readFile(templatePath('initrd/lib/sealed.sh'), 'utf8');
  const before = '  exec env -i TERM=linux';
  if (sealed.split(before).length !== 2)
    throw new Error('sealed.sh does not hand over as this test knows it');
  const planted = commands.map((command) => `  ${command}\n`).join('');
  await plant(vm, { 'usr/lib/cvm/sealed.sh': sealed.replace(before, planted + before) });
}

/** Tells the key broker the digest of the manifest, whatever is started. */
export function asBuilt(vm: Vm): NonNullable<BootSettings['hostile']> {
  return { digest: vm.manifest.launch.digests.find(({ vcpus }) => vcpus === 2)!.hex };
}

/** The sections that guest.sh wrote, a list of lines each. */
export function sections(text: string): Record<string, string[]> {
  const parts = text.split(/^== /m).slice(1);
  return Object.fromEntries(
    parts.map((part) => {
      const [title = '', ...lines] = part.trimEnd().split('\n');
      return [title, lines];
    }),
  );
}

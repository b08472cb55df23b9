import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect } from 'vitest';
import { bundleFiles, readManifest } from '../../../src/bundle/index.ts';
import { flare, type Project, run } from './project.ts';
import { identityOf, kitOf } from './sealed-kit.ts';

/**
 * What FLARE left for a participant, held against all that its site is to find.
 * @param moreSealed files of its kit beside those of the guide's project, none of which may be plain
 */
export async function expectSound(
  project: Project,
  participant: string,
  moreSealed: readonly string[] = [],
): Promise<{ id: string }> {
  const role = participant === 'server1' ? 'server' : 'client';
  // The package is the archive alone: FLARE has removed the kit, private key and all.
  const folder = project.packageOf(participant);
  expect(await readdir(folder)).toEqual([`${participant}.tgz`]);
  const archive = join(folder, `${participant}.tgz`);

  // As the guide's reader opens it.
  const site = project.path(`sites/${participant}`);
  await mkdir(site, { recursive: true });
  await execa('tar', ['-zxf', archive], { cwd: site });
  const [name = ''] = await readdir(join(site, participant));
  expect(name).toMatch(/^cvm_[0-9a-f]{12}$/);
  const bundle = join(site, participant, name);
  expect((await readdir(bundle)).sort()).toEqual([...bundleFiles]);
  const manifest = await readManifest(bundle);
  expect(manifest).toMatchObject({ name: participant, kind: 'production' });

  const handoff = project.path(`handoff/${name}`);
  const key = join(handoff, 'disk.key');
  const cvm = project.path('builder/bin/cvm');
  const verified = await run(cvm, ['verify', archive, '--handoff', handoff, '--key', key]);
  expect(verified.output).toMatch(/\nThe bundle is whole\.\n$/);
  expect(verified.status).toBe(0);

  const kit = await kitOf(bundle, key, project.path('sites'));
  expect(kit.sealed).toEqual(
    [
      ...['local/cc_manager__p_resources.json', 'local/snp_authorizer__p_resources.json'],
      ...['local/resources.json.default', 'readme.txt', `startup/${role}.key`],
      ...moreSealed,
    ].sort(),
  );
  expect(kit.plain).toEqual(
    [
      ...['local/authorization.json.default', 'local/log_config.json.default', 'local/privacy.json.sample'],
      ...['signature.json', 'local/signature.json', 'startup/signature.json', 'transfer/signature.json'],
      ...[`startup/${role}.crt`, 'startup/rootCA.pem', `startup/fed_${role}.json`],
      ...['startup/start.sh', 'startup/stop_fl.sh', 'startup/sub_start.sh'],
    ].sort(),
  );
  expect(await identityOf(kit.folder, role)).toEqual({
    ...{ fits: true, chains: true, subject: participant, issuer: 'example_project' },
    target: 'server1:8002',
  });
  await expectSigned(kit.folder);
  return { id: manifest.id };
}

/** The command by which `sub_start.sh --verify` has FLARE check its own signatures, in the CVM, at every start. */
const verifySignatures = (kit: string) =>
  run(join(flare!, 'venv/bin/python'), [
    ...['-m', 'nvflare.tool.verify_startup_kits', '-f', kit],
    ...['-c', join(kit, 'startup/rootCA.pem')],
  ]);

async function expectSigned(kit: string): Promise<void> {
  expect(await verifySignatures(kit)).toMatchObject({ status: 0 });
  await execa('sh', ['-c', 'echo >> "$1"', 'sh', join(kit, 'local/privacy.json.sample')]);
  expect((await verifySignatures(kit)).status).not.toBe(0);
}

/** One line for each bundle by which FLARE finds it, each after all that its build said. */
export function expectReadyLines(output: string, participants: readonly string[], project: Project): void {
  const lines = output.split('\n').filter((line) => /CVM Bundle\s+\S+\s+is ready/.test(line));
  expect(lines).toEqual(
    participants.map((name) => `CVM Bundle ${project.path(`target/${name}.tgz`)} is ready`),
  );
}

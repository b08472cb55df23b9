import { readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectReadyLines, expectSound } from './participants.ts';
import { flare, Project, type Provisioned } from './project.ts';

describe.skipIf(flare === undefined)("nvflare provision with the guide's project", () => {
  let project: Project;
  let provisioned: Provisioned;
  beforeAll(async () => {
    project = await Project.make(['site-1']);
    provisioned = await project.provision();
  });
  afterAll(() => project?.[Symbol.asyncDispose]());

  it('ends well, with one bundle for the server and one for the site', () => {
    expect(provisioned.output).toContain('Provisioning complete.');
    expect(provisioned.status).toBe(0);
    expectReadyLines(provisioned.output, ['server1', 'site-1'], project);
  });

  it.each([
    'server1',
    'site-1',
  ])('gives %s its own signed kit, sealed, in a bundle that is whole', async (name) => {
    await expectSound(project, name);
  });

  it("warns that the guide's client may connect to nothing, and of nothing else", () => {
    const warnings = provisioned.output.split('\n').filter((line) => line.includes('warning: /'));
    expect(warnings).toEqual([
      expect.stringContaining('allowed_out_ports lacks 8002, the port of server1 in the startup kit: '),
      expect.stringContaining('allowed_out_ports lacks 443, at which SNPAuthorizer '),
    ]);
  });

  it('leaves the admin a plain package', async () => {
    expect((await readdir(project.packageOf('admin@nvidia.com'))).sort()).toEqual([
      'local',
      'startup',
      'transfer',
    ]);
  });

  it('leaves keys and policy with the administrator, for two images', async () => {
    const images = (await readdir(project.path('handoff'))).filter((name) => name.startsWith('cvm_'));
    expect(images).toHaveLength(2);
    const policy = await readFile(project.path('policy/policy.rego'), 'utf8');
    for (const name of images) expect(policy).toContain(`keys/root/${name.slice('cvm_'.length)}`);
  });
});

describe.skipIf(flare === undefined)('nvflare provision where a build fails', () => {
  it('ends with an error, says the cause, and gives no bundle', async () => {
    await using project = await Project.make(['site-1']);
    const builder = JSON.parse(await project.readFile('builder/builder.yml'));
    await project.write('builder/builder.yml', JSON.stringify({ ...builder, kbs: {} }));
    const { status, output } = await project.provision();
    expect(status).not.toBe(0);
    expect(output).toMatch(/^error: cannot build a production bundle: it does not know the key broker$/m);
    expect(output).toMatch(/^hint: set kbs\.url in builder\.yml/m);
    expect(output).not.toContain('is ready');
    expect(await readdir(project.packageOf('server1'))).not.toContain('server1.tgz');
  });
});

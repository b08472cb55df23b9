import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyFromDrive } from '../../../src/drives/index.ts';
import { expectReadyLines, expectSound } from './participants.ts';
import { flare, Project, type Provisioned, run } from './project.ts';

describe.skipIf(flare === undefined)('nvflare provision with homomorphic encryption', () => {
  let project: Project;
  let provisioned: Provisioned;
  beforeAll(async () => {
    project = await Project.make(['site-1'], { homomorphic: true });
    provisioned = await project.provision();
  });
  afterAll(() => project?.[Symbol.asyncDispose]());

  it('ends well, and its builds count what is plain and what is sealed', () => {
    expect(provisioned.status).toBe(0);
    expectReadyLines(provisioned.output, ['server1', 'site-1'], project);
    const counts = provisioned.output.match(/user_config: \d+ files plain, \d+ files sealed/g);
    expect(counts).toEqual(Array(2).fill('user_config: 13 files plain, 6 files sealed'));
  });

  it('seals the key that all clients share, and what of it the server has', async () => {
    await expectSound(project, 'site-1', ['startup/client_context.tenseal']);
    await expectSound(project, 'server1', ['startup/server_context.tenseal']);
  });

  it('leaves no context on the drive that the host reads', async () => {
    const bundle = join(project.path('sites/site-1/site-1'), '.');
    const { output } = await run('find', [bundle, '-name', 'user_config.qcow2']);
    const folder = project.path('sites/plain');
    await copyFromDrive(output.trim(), ['/nvflare'], folder, {
      ...{ recursive: true, verify: true },
      ...{ progress: () => {}, warn: () => {} },
    });
    expect((await run('find', [folder, '-name', '*tenseal*'])).output).toBe('');
  });
});

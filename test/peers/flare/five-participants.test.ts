import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectReadyLines, expectSound } from './participants.ts';
import { flare, Project, type Provisioned } from './project.ts';

const clients = ['site-1', 'site-2', 'site-3', 'Hospital_West'];
const participants = ['server1', ...clients];
// Twice as many bundles as the guide's project, and nothing new to see in most runs: by test/peers/run alone.
const withheld = flare === undefined || process.env.CVM_PEERS_PRESENT_ONLY !== undefined;

describe.skipIf(withheld)('nvflare provision with a server and four sites', () => {
  let project: Project;
  let provisioned: Provisioned;
  beforeAll(async () => {
    project = await Project.make(clients);
    provisioned = await project.provision();
  });
  afterAll(() => project?.[Symbol.asyncDispose]());

  it('ends well, with one bundle for each', () => {
    expect(provisioned.output).toContain('Provisioning complete.');
    expect(provisioned.status).toBe(0);
    expectReadyLines(provisioned.output, participants, project);
  });

  it('gives each its own kit and its own image', async () => {
    const ids = [];
    for (const name of participants) ids.push((await expectSound(project, name)).id);
    expect(new Set(ids).size).toBe(participants.length);
  });
});

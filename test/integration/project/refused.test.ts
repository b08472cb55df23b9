import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Outcome } from '../build/bench.ts';
import { ProjectBench } from './bench.ts';

let project: ProjectBench;
beforeAll(async () => {
  project = await ProjectBench.make(2);
});
afterAll(() => project?.[Symbol.asyncDispose]());
afterEach(async () => {
  for (const name of project.names) await project.configure(name);
});

/** One error that says so, status 2, and nothing begun. */
async function expectRefused(outcome: Outcome, ...said: (string | RegExp)[]): Promise<void> {
  expect(outcome.status).toBe(2);
  expect(outcome.stderr.match(/^error: /gm)).toHaveLength(1);
  for (const text of said) expect(outcome.stderr).toMatch(text);
  expect(outcome.stdout).not.toMatch(/Base system|SITE/);
  const made = await project.bench.list('.');
  expect(made).not.toContain('target');
  expect(made).not.toContain('handoff');
  expect(made).not.toContain('state');
}

const buildFiles = (...more: string[]) => {
  const { bench } = project;
  return bench.run(['build', '--dev', '--config', bench.path('builder.yml'), ...more]);
};

/** A cc_config of its own with a kit of its own, below a folder. */
async function siteIn(folder: string, kit: string): Promise<string> {
  const { bench } = project;
  await mkdir(bench.path(folder), { recursive: true });
  const file = bench.path(`${folder}/cc_site.yml`);
  await writeFile(
    file,
    `docker_archive: image.tar.gz\nroot_drive_size: 2\nuser_config:\n  nvflare: ${kit}\n`,
  );
  return file;
}

describe('many sites are refused before any is begun', () => {
  it('where two have the same name, and so the same bundle', async () => {
    const { bench } = project;
    await bench.copyOf('workspace/example_project/prod_01/site-1', 'other/site-1');
    const one = await siteIn('a', project.kit('site-1'));
    const two = await siteIn('b', bench.path('other/site-1'));
    const outcome = await buildFiles(one, two);
    await expectRefused(
      outcome,
      /they collide$/m,
      `${bench.path('target/site-1.tgz')}: of both ${project.kit('site-1')} and`,
    );
    await expectRefused(await buildFiles(one, one), /they collide$/m);
  });

  it('where two have the same startup kit under two names', async () => {
    const link = project.bench.path('site-9');
    await rm(link, { force: true });
    await symlink(project.kit('site-1'), link);
    const files = [await siteIn('a', project.kit('site-1')), await siteIn('b', link)];
    await expectRefused(await buildFiles(...files), /the startup kit of both site-1 and site-9$/m);
  });

  it('where configurations are wrong, with the mistakes of all', async () => {
    await project.configure('site-1', { more: 'allowed_portz: []\nvault_integrity: perhaps\n' });
    await project.configure('site-2', { archive: 'absent.tar.gz' });
    const outcome = await project.build();
    await expectRefused(
      outcome,
      /^.*cc_site-1\.yml:\d+:\d+: vault_integrity/m,
      /^.*cc_site-2\.yml:\d+:\d+: docker_archive/m,
    );
  });

  it('where a kit is missing, or was taken by FLARE’s packager', async () => {
    const { bench } = project;
    const kits = bench.path('kits');
    await mkdir(`${kits}/site-1`, { recursive: true });
    await writeFile(`${kits}/site-1/site-1.tgz`, '');
    const outcome = await project.build(['--kits', kits]);
    await expectRefused(outcome, 'holds a bundle in place of the kit', `site-2 has no folder in ${kits}`);
  });

  it('where project.yml names no site, or names one twice', async () => {
    const { bench } = project;
    const file = bench.path('other.yml');
    const run = (participants: string) =>
      writeFile(file, `name: example_project\nparticipants:\n${participants}`).then(() =>
        buildFiles('--project', file),
      );
    await expectRefused(await run('  - name: admin@nvidia.com\n'), 'no participant has a cc_config');
    const site = '  - name: site-1\n    cc_config: cc_site-1.yml\n';
    await expectRefused(await run(site + site), /other\.yml:5:11: .*another participant has that name/);
  });

  it.each([
    ['no site', [], /no site is given/],
    ['a name for all of them', ['--name', 'x', 'a.yml', 'b.yml'], /--name names one bundle/],
    ['files beside a project', ['--project', 'project.yml', 'a.yml'], /both a project and files are given/],
    ['kits without a project', ['--kits', 'workspace', 'a.yml', 'b.yml'], /--kits needs a project/],
    ['a number of jobs that is none', ['--jobs', '0', 'a.yml', 'b.yml'], /cannot use --jobs "0"/],
  ] as const)('given %s', async (_, args, said) => expectRefused(await buildFiles(...args), said));
});

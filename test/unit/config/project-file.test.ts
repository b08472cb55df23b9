import { describe, expect, it } from 'vitest';
import { formatProblem, parseProjectFile } from '../../../src/config/index.ts';

const read = (text: string) => {
  const { project, errors } = parseProjectFile(text, 'project.yml');
  return { project, errors: errors.map(formatProblem) };
};

/** As the guide's: a server, a client, and an administrator who has no VM. */
const guide = `api_version: 3
name: example_project
participants:
  - name: server1
    type: server
    org: nvidia
    fed_learn_port: 8002
    cc_config: cc_server1.yml
  - name: site-1
    type: client
    org: nvidia
    cc_config: cc_site-1.yml
  - name: admin@nvidia.com
    type: admin
    org: nvidia
    role: project_admin
builders:
  - path: nvflare.lighter.impl.workspace.WorkspaceBuilder
`;

describe("FLARE's project.yml", () => {
  it('gives its name, and the participants that have a cc_config, in order', () => {
    expect(read(guide)).toEqual({
      project: {
        name: 'example_project',
        sites: [
          { name: 'server1', ccConfig: 'cc_server1.yml' },
          { name: 'site-1', ccConfig: 'cc_site-1.yml' },
        ],
      },
      errors: [],
    });
  });

  it.each([
    '../site-1',
    '/etc',
    '.hidden',
    'a/b',
    '',
  ])('refuses the participant name %j, which leads elsewhere', (name) => {
    const { project, errors } = read(guide.replace('name: site-1', `name: "${name}"`));
    expect(project).toBeUndefined();
    expect(errors).toEqual([expect.stringMatching(/^project\.yml:9:\d+: participants\[1\]\.name is /)]);
  });

  it.each(['..', '../elsewhere', 'a/b'])('refuses the project name %j, which leads elsewhere', (name) => {
    expect(read(guide.replace('name: example_project', `name: "${name}"`)).errors).toEqual([
      expect.stringMatching(/^project\.yml:2:7: name is /),
    ]);
  });

  it('refuses a name that two participants have', () => {
    expect(read(guide.replace('name: site-1', 'name: server1')).errors).toEqual([
      expect.stringMatching(/^project\.yml:9:11: participants\[1\]\.name is "server1": another/),
    ]);
  });

  it('refuses a file that is no project', () => {
    expect(read('docker_archive: image.tar.gz\n').errors.join('\n')).toMatch(
      /name is missing[\s\S]*participants is missing/,
    );
  });
});

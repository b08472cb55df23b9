// Holds what npm installed against package-lock.json: check-packages.mjs <checkout>. `npm ci` would do this itself, but
// it also refuses a lock file without the optional packages of other platforms, and some registry mirrors do not carry
// those. Run by the machine's Node, before anything that was installed is.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const checkout = process.argv[2];
const packagesOf = (name) => JSON.parse(readFileSync(join(checkout, name), 'utf8')).packages;
const locked = packagesOf('package-lock.json');
const installed = packagesOf('node_modules/.package-lock.json');

const differing = Object.entries(installed).filter(([name, { version, integrity }]) => {
  const wanted = locked[name];
  return integrity === undefined || wanted?.version !== version || wanted.integrity !== integrity;
});
for (const [name, { version }] of differing) console.log(`not in package-lock.json: ${name} ${version}`);
process.exitCode = differing.length === 0 ? 0 : 1;

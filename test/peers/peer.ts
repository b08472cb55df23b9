import { join } from 'node:path';

/**
 * Folder that the `prepare` script of a peer made ready; undefined where it could not, or where the tests were not
 * started by `test/peers/run`.
 */
export function preparedPeer(name: string): string | undefined {
  const { CVM_PEERS_READY: ready = '', CVM_PEERS_TOOLS: tools } = process.env;
  return tools !== undefined && ready.split(' ').includes(name) ? join(tools, name) : undefined;
}

/** Folder `cvm_<id>` of a development bundle of the quickstart. Not to be changed. */
export function peersBundle(): string {
  const folder = process.env.CVM_PEERS_BUNDLE;
  if (folder === undefined)
    throw new Error('CVM_PEERS_BUNDLE is not set: start these tests by test/peers/run');
  return folder;
}

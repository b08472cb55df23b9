import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { federationRules, type KitFacts, type PathContext, type Rule, resolvePath } from '../config/index.ts';

/** Holds the ports and the role of cc_config against the startup kit that it names, or the one given in its place. */
export function agreesWithTheKit(context: PathContext, startupKit?: string): Rule {
  return (raw) => {
    const { user_config } = raw as { user_config?: { nvflare?: unknown } | null };
    const folder = startupKit ?? user_config?.nvflare;
    const found = typeof folder === 'string' ? resolvePath(folder, context) : undefined;
    const kit = found !== undefined && 'path' in found ? kitFacts(found.path) : undefined;
    return federationRules(kit).flatMap((rule) => rule(raw));
  };
}

/** What FLARE's own files in a kit say; undefined where it is no kit that this knows. Nothing is believed but port numbers. */
export function kitFacts(folder: string): KitFacts | undefined {
  for (const role of ['server', 'client'] as const) {
    const text = smallFile(join(folder, `startup/fed_${role}.json`));
    if (text !== undefined) return { role, ...serverOf(text) };
  }
  return undefined;
}

/** `servers[0]` of fed_server.json and fed_client.json: `{"service": {"target": "server1:8002"}, "admin_port": 8003}`. */
function serverOf(text: string): Pick<KitFacts, 'server' | 'ports'> {
  let server: { service?: { target?: unknown }; admin_port?: unknown } | undefined;
  try {
    server = JSON.parse(text)?.servers?.[0];
  } catch {
    return { server: undefined, ports: [] };
  }
  const address = server?.service?.target;
  const target = typeof address === 'string' ? /^([A-Za-z0-9._-]{1,253}):(\d{1,5})$/.exec(address) : null;
  const ports = target === null ? [] : [Number(target[2]), server?.admin_port ?? Number(target[2])];
  return { server: target?.[1], ports: [...new Set(ports)].filter(isPort) };
}

function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65_536;
}

const largest = 2 ** 20;

function smallFile(path: string): string | undefined {
  let file: number | undefined;
  try {
    // O_NONBLOCK: a FIFO is not waited for.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const found = fstatSync(file);
    return found.isFile() && found.size <= largest ? readFileSync(file, 'utf8') : undefined;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** What is open beside the lists of cc_config: InitApp asks the key broker whatever they say. */
export function keyBrokerPortNote(allowedOutPorts: readonly number[], kbsUrl: string): string | undefined {
  const { port, protocol } = new URL(kbsUrl);
  const number = port === '' ? (protocol === 'http:' ? 80 : 443) : Number(port);
  if (allowedOutPorts.includes(number)) return undefined;
  return `port ${number} is open towards the key broker, which allowed_out_ports does not name: without it the CVM would get no key at boot`;
}

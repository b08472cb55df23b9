import type { Finding, Rule } from './check.ts';
import { attestsGpu } from './gpu.ts';
import { listOf, mapOf } from './shapes.ts';

/** What a startup kit says of its participant and of the server. */
export interface KitFacts {
  role: 'server' | 'client';
  /** Host name of the server. */
  server: string | undefined;
  /** Ports of the server: for clients, and for admins where that is another. */
  ports: readonly number[];
}

/** FLARE's own, where project.yml has no fed_learn_port. */
const defaultPort = 8002;

const httpsPort = 443;

const snpAuthorizer = /(?:^|\.)SNPAuthorizer$/;

/**
 * Holds a site's role and ports against what FLARE will do in the CVM. The firewall is sealed, so what is found at run
 * time needs another image: all of these are warnings, which say what will fail and when.
 * @param kit of the site; undefined where it has none that can be read
 */
export function federationRules(kit: KitFacts | undefined): Rule[] {
  return [
    (raw) => roleIsThatOfTheKit(raw, kit),
    (raw) => portsLeadToTheServer(raw, kit),
    authorizersReachTheirServices,
  ];
}

const warning = (key: string, message: string): Finding => ({ path: [key], severity: 'warning', message });

const roleOf = ({ role }: Record<string, unknown>) =>
  role === 'server' || role === 'client' ? role : undefined;

function roleIsThatOfTheKit(raw: Record<string, unknown>, kit: KitFacts | undefined): Finding[] {
  const role = roleOf(raw);
  if (role === undefined || kit === undefined || role === kit.role) return [];
  return [
    warning(
      'role',
      `role is "${role}", but the startup kit is that of a ${kit.role}: the CVM will run as the ${kit.role}`,
    ),
  ];
}

function portsLeadToTheServer(raw: Record<string, unknown>, kit: KitFacts | undefined): Finding[] {
  const role = kit?.role ?? roleOf(raw);
  if (role === undefined) return [];
  const key = role === 'server' ? 'allowed_ports' : 'allowed_out_ports';
  const open = listOf(raw[key]);
  const [port = defaultPort, ...further] = kit?.ports ?? [];
  const source =
    kit === undefined || kit.ports.length === 0 ? "FLARE's port unless project.yml names another" : undefined;
  if (role === 'client') {
    if (open.includes(port)) return [];
    const whose = source ?? `the port of ${kit?.server ?? 'the server'} in the startup kit`;
    const message = `allowed_out_ports lacks ${port}, ${whose}: the client will start in its CVM and never reach the server`;
    return [warning(key, message)];
  }
  const findings: Finding[] = [];
  if (!open.includes(port)) {
    const message = `allowed_ports lacks ${port}, ${source ?? 'where the server of the startup kit listens'}: the server will start in its CVM, and no client will reach it`;
    findings.push(warning(key, message));
  }
  for (const admin of further.filter((other) => !open.includes(other))) {
    const message = `allowed_ports lacks ${admin}, the admin port of the startup kit: no admin console will reach the server`;
    findings.push(warning(key, message));
  }
  return findings;
}

/** SNPAuthorizer fetches AMD's certificates, GPUAuthorizer asks NVIDIA's service; both where tokens are made or verified. */
const authorizersReachTheirServices: Rule = ({ cc_issuers, allowed_out_ports }) => {
  if (listOf(allowed_out_ports).includes(httpsPort)) return [];
  const issuers = listOf(cc_issuers).map(mapOf);
  const asksNvidia = ({ path, args }: Record<string, unknown>) =>
    attestsGpu(String(path)) && mapOf(args).verifier_url === undefined;
  const needs: Finding[] = [];
  if (issuers.some(({ path }) => snpAuthorizer.test(String(path)))) {
    needs.push(
      warning(
        'allowed_out_ports',
        `allowed_out_ports lacks ${httpsPort}, at which SNPAuthorizer fetches AMD's certificates: unless the workload brings those of every site's CPU, the first check of another site's token fails, and FLARE shuts down`,
      ),
    );
  }
  if (issuers.some(asksNvidia)) {
    needs.push(
      warning(
        'allowed_out_ports',
        `allowed_out_ports lacks ${httpsPort}, at which GPUAuthorizer has NVIDIA's service judge the GPU: the CVM gets no token for it, the first check of that token fails, and FLARE shuts down`,
      ),
    );
  }
  return needs;
};

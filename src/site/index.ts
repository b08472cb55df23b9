/** What one site adds to the base: its sealed layer, its firewall, its hosts. */
export type { RuntimeAttestation } from './attestation.ts';
export { type FirewallSettings, firewallRules } from './firewall.ts';
export type { GpuSettings } from './gpu.ts';
export { hostName, hostsFile } from './hosts.ts';
export { makeSiteLayer, type ShareSettings, type SiteLayer, type SiteLayerOptions } from './layer.ts';

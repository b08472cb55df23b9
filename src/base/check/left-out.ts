import type { BaseTree } from './tree.ts';

/** Programs that an image of a server or a cloud brings, by the file that gives them away. */
const services: readonly (readonly [file: string, name: string])[] = [
  ['/usr/bin/cloud-init', 'cloud-init'],
  ['/usr/sbin/qemu-ga', 'qemu-guest-agent'],
  ['/usr/bin/vmtoolsd', 'open-vm-tools'],
  ['/usr/sbin/waagent', 'walinuxagent'],
  ['/usr/bin/google_guest_agent', 'google-guest-agent'],
  ['/usr/bin/amazon-ssm-agent', 'amazon-ssm-agent'],
  ['/usr/sbin/sshd', 'sshd'],
  ['/usr/lib/snapd/snapd', 'snapd'],
  ['/usr/sbin/NetworkManager', 'NetworkManager'],
  ['/usr/sbin/netplan', 'netplan'],
  ['/usr/bin/dockerd', 'docker'],
  ['/usr/bin/containerd', 'containerd'],
  ['/usr/sbin/lvm', 'LVM'],
  ['/usr/sbin/multipathd', 'multipathd'],
  ['/usr/sbin/iscsid', 'iscsid'],
  ['/usr/sbin/cron', 'cron'],
  ['/usr/bin/unattended-upgrade', 'unattended-upgrades'],
  ['/usr/sbin/rsyslogd', 'rsyslog'],
  ['/usr/sbin/chronyd', 'chrony'],
];

/**
 * What an image brings that has no effect in the CVM: the boot target is our own, and its units are the only ones
 * (docs/threat-model.md, T10). For the administrator who counts on one of them.
 */
export async function leftOut(tree: BaseTree): Promise<string[]> {
  const notes: string[] = [];
  const brought = services.filter(([file]) => tree.hasFile(file)).map(([, name]) => name);
  if (brought.length > 0) notes.push(`not started in the CVM: ${brought.join(', ')}`);
  const units = enabledUnits(tree);
  if (units.length > 0)
    notes.push(`units that are enabled here and do not exist in the CVM: ${listed(units)}`);
  const mounts = entries(await tree.text('/etc/fstab')).map((line) => line.split(/\s+/)[1] ?? '?');
  if (mounts.length > 0) notes.push(`not mounted in the CVM, whose fstab is empty: ${listed(mounts)}`);
  const volumes = entries(await tree.text('/etc/crypttab')).map((line) => line.split(/\s+/)[0] ?? '?');
  if (volumes.length > 0) notes.push(`not opened in the CVM, whose crypttab is empty: ${listed(volumes)}`);
  const accounts = entries(await tree.text('/etc/shadow')).filter((line) => /^[^:]+:[^:!*]/.test(line));
  if (accounts.length > 0) {
    notes.push(`passwords that the CVM locks: ${listed(accounts.map((line) => line.split(':')[0]!))}`);
  }
  const settings = tree.names('/etc/sysctl.d').filter((name) => name.endsWith('.conf'));
  const own = settings.filter((name) => !/^(README|99-sysctl|protect-links)/.test(name));
  if (own.length > 0) notes.push(`kernel settings that nothing applies in the CVM: ${listed(own)}`);
  const preloaded = entries(await tree.text('/etc/ld.so.preload'));
  if (preloaded.length > 0) {
    notes.push(`/etc/ld.so.preload: every program of the CVM's system loads ${listed(preloaded)}`);
  }
  return notes;
}

/** Lines of a table, comments and empty ones left out. */
function entries(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

/** Units that a link below /etc/systemd/system starts. */
function enabledUnits(tree: BaseTree): string[] {
  const wanted = tree.paths
    .map((path) => /^etc\/systemd\/system\/[^/]+\.(?:wants|requires)\/([^/]+)$/.exec(path)?.[1])
    .filter((unit) => unit !== undefined);
  return [...new Set(wanted)].sort();
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 12).join(', ');
  return names.length > 12 ? `${shown} and ${names.length - 12} more` : shown;
}

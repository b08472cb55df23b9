import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { templatePath } from '../../../src/host/template.ts';

/** The function of mount-share that shows a mounted share at its place. */
const show = /^show\(\) \{\n[\s\S]*?^\}/m.exec(readFileSync(templatePath('site/mount-share'), 'utf8'))![0];

/** Runs it in name spaces of its own, where a tmpfs is the drive, with `mnt` as these commands make it. */
function showOver(makeMnt: string): string {
  const script = `
    work=$(mktemp -d) && mount -t tmpfs none "$work" && cd "$work"
    mkdir drive elsewhere staging
    mount -t tmpfs none staging && echo shared > staging/data
    mount -t tmpfs -o nosymfollow none drive
    (cd drive && ${makeMnt})
    staging=$work/staging target=$work/drive/mnt share_access=ro
    ${show}
    show && echo shown || echo refused
    echo "at its place: $(cat drive/mnt/data 2> /dev/null)"
    echo "elsewhere: $(ls elsewhere)"
    sh -c 'echo x > drive/mnt/written' 2> /dev/null && echo 'can be written'
    cd / && umount -R "$work" && rmdir "$work"`;
  return execFileSync('unshare', ['-Urm', 'sh', '-c', script], { encoding: 'utf8' });
}

describe('mount-share', () => {
  it('shows the share at its folder, read-only', () => {
    expect(showOver('mkdir mnt')).toBe('shown\nat its place: shared\nelsewhere: \n');
  });

  it.each([
    'ln -s ../elsewhere mnt',
    'mkdir other && ln -s other mnt',
  ])('follows no link that the host put in place of the folder: %s', (commands) => {
    expect(showOver(commands)).toBe('refused\nat its place: \nelsewhere: \n');
  });
});

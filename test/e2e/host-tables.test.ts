import { expect, test } from 'vitest';
import { copyOfBundle, expectFailedClosed, expectWorkloadEnded } from './harness.ts';
import { findInFile } from './search.ts';

const marker = 'planted-by-the-host';
const fwCfgName = (credential: string) => `opt/io.systemd.credentials/${credential}`;
const inBase64 = (text: string) => Buffer.from(text).toString('base64');

/** What systemd takes from outside by name, each planting the marker where the boot or the host would show it. */
const credentials: Record<string, string> = {
  'tmpfiles.extra': `f+ /applog/${marker} 0644 - - - ${marker}\nf+ /run/${marker} 0644 - - - ${marker}\n`,
  'sysusers.extra': `u ${marker} 0:0\n`,
  'sysctl.extra': `kernel.hostname=${marker}\n`,
  'fstab.extra': `/dev/vdb /${marker} ext4 rw 0 0\n`,
  'systemd.extra-unit.p.service': `[Service]\nExecStart=/bin/sh -c "echo ${marker} > /dev/console"\n`,
  'systemd.unit-dropin.cvm-workload.service': `[Service]\nExecStartPre=/bin/sh -c "echo ${marker} > /dev/console"\n`,
  'passwd.plaintext-password.root': marker,
  'system.hostname': marker,
  'network.hosts': `10.0.2.2 ${marker}\n`,
};

test('systemd credentials in SMBIOS and fw_cfg change nothing in the guest', async () => {
  await using vm = await copyOfBundle();
  const tables = Object.entries(credentials).map(([name, text]) => ({
    smbios: ['-smbios', `type=11,value=io.systemd.credential.binary:${name}=${inBase64(text)}`],
    // QEMU takes names of up to 55 characters.
    fwCfg:
      fwCfgName(name).length > 55
        ? []
        : ['-fw_cfg', `name=${fwCfgName(name)},string=${text.replaceAll(',', ',,')}`],
  }));
  const extraArguments = tables.flatMap(({ smbios, fwCfg }) => [...smbios, ...fwCfg]);
  const end = await vm.boot({ hostile: { extraArguments } });
  await expectWorkloadEnded(vm, end);
  expect(end.console.filter((line) => line.includes(marker))).toEqual([]);
  expect(await findInFile(vm.file('applog.qcow2'), { marker: Buffer.from(marker) })).toEqual([]);
});

test('a clock in the past is set to the time of the build, before which no certificate is believed', async () => {
  await using vm = await copyOfBundle();
  const end = await vm.boot({ hostile: { extraArguments: ['-rtc', 'base=2000-01-01'] } });
  // The development KBS's certificate was made after the build, so at the time of the build it is not valid yet.
  await expectFailedClosed(
    vm,
    end,
    'E34',
    /^the certificate of the KBS has expired, or is not valid yet, by the clock of this VM$/,
  );
  const log = await vm.log('boot.log');
  expect(log).toContain('the clock was before the time of the build and has been set to it');
  expect(log).toContain('certificate is not yet valid');
  expect(log).toMatch(/\] it is \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, by a clock that the host sets$/m);
});

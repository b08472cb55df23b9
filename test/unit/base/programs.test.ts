import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { attestationApplets } from '../../../src/base/check/inspect.ts';
import { minimumVersions, requiredFiles } from '../../../src/base/check/programs.ts';
import { readTemplateList, templatePath } from '../../../src/host/template.ts';
import { builtins, commandWords, functionsOf } from '../../support/shell-words.ts';

const required = requiredFiles.flatMap(({ files }) => files);
const requiredNames = new Set(required.map((path) => basename(path)));
const initrd = (await readTemplateList('initrd/programs.txt')).map(merged);
const development = (await readTemplateList('initrd/dev-programs.txt')).map(merged);
const applets = (await readTemplateList('initrd/applets.txt')).flatMap((line) => line.split(/\s+/));

/** `/lib/…` as `/usr/lib/…`, which it is a link to. */
function merged(path: string): string {
  return path.replace(/^\/(bin|sbin|lib)\//, '/usr/$1/');
}

/** Files of templates/site, folders in it too; not those of GPU sites, of which src/base/check/gpu.ts knows what they need. */
function siteFiles(folder = templatePath('site')): { name: string; text: string }[] {
  const names = readdirSync(folder).filter((name) => name !== 'gpu');
  return names.flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? siteFiles(path) : [{ name, text: readFileSync(path, 'utf8') }];
  });
}
const files = siteFiles();
const isBusybox = ({ text }: { text: string }) => /^#!.*busybox|^# shellcheck shell=dash/.test(text);
const scripts = files.filter(({ text }) =>
  /^#!.*sh$|^# shellcheck shell=/m.test(text.split('\n', 2).join('\n')),
);
const systemScripts = scripts.filter((script) => !isBusybox(script));
const busyboxScripts = scripts.filter((script) => isBusybox(script) && !/^#!\/host\//.test(script.text));
const functions = new Set(scripts.flatMap(({ text }) => functionsOf(text)));
const called = (list: typeof scripts) =>
  list.flatMap(({ name, text }) => [...commandWords(text)].map((word) => ({ name, word })));

describe('what a base must hold', () => {
  it('has every program of the initrd, at the path where the initrd takes it from', () => {
    expect(initrd.filter((path) => !required.includes(path))).toEqual([]);
  });

  it('has those of development bundles, by no stricter need', () => {
    const known = requiredFiles.filter(({ need }) => need !== 'share').flatMap((entry) => entry.files);
    expect(development.filter((path) => !known.includes(path))).toEqual([]);
  });

  it('has every program that the scripts of the units call', () => {
    const words = called(systemScripts);
    expect(words.length).toBeGreaterThan(50);
    const known = new Set([...requiredNames, ...builtins, ...functions]);
    const absent = words.filter(({ word }) => !known.has(word));
    expect(absent.map(({ name, word }) => `${name}: ${word}`)).toEqual([]);
  });

  it('has what the scripts of run-time attestation call, as a program or an applet of busybox', () => {
    const words = called(busyboxScripts);
    expect(words.length).toBeGreaterThan(20);
    const known = new Set([...requiredNames, ...builtins, ...functions, ...applets, ...attestationApplets]);
    const absent = words.filter(({ word }) => !known.has(word));
    expect(absent.map(({ name, word }) => `${name}: ${word}`)).toEqual([]);
  });

  it('has every program of the base that a unit or a script names by its path', () => {
    const texts = files.map(({ text }) => text.replaceAll(/^\s*#(?!!).*$/gm, '')).join('\n');
    const paths = [...texts.matchAll(/(?<![\w/])\/(?:usr\/)?s?bin\/[\w.-]+/g)].map(([path]) => merged(path));
    expect(new Set(paths).size).toBeGreaterThan(3);
    expect(paths.filter((path) => !required.includes(path))).toEqual([]);
  });

  it('lists nothing that nobody uses', () => {
    const sources = [
      ...files.map(({ text }) => text),
      ...initrd,
      ...development,
      readFileSync(templatePath('initrd/lib/sealed.sh'), 'utf8'),
      readFileSync(templatePath('initrd/kbs-sample-client'), 'utf8'),
    ].join('\n');
    const unused = [...requiredNames].filter(
      (name) => !new RegExp(`(?<![\\w-])${name.replaceAll('.', '\\.')}(?![\\w-])`).test(sources),
    );
    expect(unused).toEqual([]);
  });

  it('names each file once', () => {
    expect(required.filter((path, index) => required.indexOf(path) !== index)).toEqual([]);
  });

  it('has its packages in the list that the default base is built from, or they are always there', async () => {
    const always =
      'coreutils dash diffutils findutils grep libc6 libgcc-s1 mawk mount perl-base sed util-linux'.split(
        ' ',
      );
    const lists = [...(await readTemplateList('base/core.txt')), ...(await readTemplateList('base/nfs.txt'))];
    const built = new Set([...lists.map((line) => line.split(/\s+/)[0]!), ...always]);
    const packages = [...requiredFiles, ...minimumVersions].map((entry) => entry.package);
    expect(packages.filter((name) => !built.has(name))).toEqual([]);
  });
});

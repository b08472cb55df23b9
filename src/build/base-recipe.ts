import type { BaseRecipe } from '../base/index.ts';
import type { BuilderConfig } from '../config/index.ts';
import { templatePath } from '../host/template.ts';

/** What the base of a build is made from, as builder.yml says. */
export function baseRecipe({ base }: Pick<BuilderConfig, 'base'>): BaseRecipe {
  const { suite, with: lists, mirror, securityMirror } = base;
  return { recipe: templatePath('base'), suite, lists, mirror, securityMirror };
}

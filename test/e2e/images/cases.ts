import type { ImageCase } from './base.ts';
import { configurationCases } from './configuration-cases.ts';
import { treeCases } from './tree-cases.ts';

/** The images, each with one subject. Together they are what issues of image builders and runtimes are about. */
export const imageCases: readonly ImageCase[] = [...configurationCases, ...treeCases];

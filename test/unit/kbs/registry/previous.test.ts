import { expect, test } from 'vitest';
import { asPrevious, nextResourcePath } from '../../../../src/kbs/registry/previous.ts';
import { imageRecord, imagesWithRights } from '../../../../src/kbs/registry/record.ts';
import { digestOf, imageOf } from '../records.ts';

const old = imageOf(1);
const again = {
  ...imageOf(1),
  resourcePath: `${old.resourcePath}.2`,
  digests: [{ ...old.digests[0]!, hex: digestOf('again') }],
  previous: asPrevious(old),
};

test('each image that is built again has a resource path that none of its earlier ones had', () => {
  expect(nextResourcePath('keys/root', old)).toBe(`keys/root/${old.id}.2`);
  expect(nextResourcePath('keys/root', again)).toBe(`keys/root/${old.id}.3`);
  const shuffled = {
    ...again,
    resourcePath: old.resourcePath,
    previous: { ...again.previous, resourcePath: `x/y/${old.id}.7` },
  };
  expect(nextResourcePath('other/place', shuffled)).toBe(`other/place/${old.id}.8`);
});

test('an image and what it was before each have a right to their own key alone', () => {
  expect(
    imagesWithRights([again]).map(({ resourcePath, digests }) => [resourcePath, digests[0]!.hex]),
  ).toEqual([
    [again.resourcePath, digestOf('again')],
    [old.resourcePath, digestOf('image 1')],
  ]);
});

test('what an image was has no right once it is retired, or the image is', () => {
  const retired = { ...again, previous: { ...again.previous, status: 'retired' as const } };
  expect(imagesWithRights([retired])).toHaveLength(1);
  expect(imagesWithRights([{ ...again, status: 'retired' }])).toEqual([]);
});

test('a record is refused where both images would have one key, or the registry is read by the key broker itself', () => {
  expect(imageRecord.safeParse(again).success).toBe(true);
  const samePath = { ...again, resourcePath: old.resourcePath };
  expect(imageRecord.safeParse(samePath).success).toBe(false);
  expect(imageRecord.safeParse({ ...again, kind: 'development' }).success).toBe(false);
});

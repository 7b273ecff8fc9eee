import type { ImageData } from "../api/types";

/** The daemon's bounds (`llmgate/schemas/chat.py`), and one of all pictures together: a frame has 24 MiB. */
export const MOST_PICTURES = 8;
export const LARGEST_PICTURE = 5 * 1024 * 1024;
export const LARGEST_TOGETHER = 15 * 1024 * 1024;
/** Longer edge, in pixels: vision models scale down to this or less by themselves. */
export const LONGEST_EDGE = 1568;
const LARGEST_FILE = 64 * 1024 * 1024;
/** A PNG that is larger is tried as JPEG: it is most likely a photograph. */
const LARGE_PNG = 1024 * 1024;
const QUALITIES = [0.9, 0.8, 0.65];

export const TAKEN = "image/png,image/jpeg,image/webp,image/gif";

/** A picture that cannot be taken; the message is for its user. */
export class PictureProblem extends Error {}

/** The size in which it is sent: with its proportions, and not larger than it is. */
export function fitted(width: number, height: number): { width: number; height: number } {
  const scale = Math.min(1, LONGEST_EDGE / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** Bytes behind a base64 text. */
export function sizeOf(data: string): number {
  const padding = data.endsWith("==") ? 2 : data.endsWith("=") ? 1 : 0;
  return (data.length / 4) * 3 - padding;
}

/** Whether one more picture fits beside `had`. */
export function roomBeside(had: readonly ImageData[], next: ImageData): boolean {
  const together = had.reduce((sum, picture) => sum + sizeOf(picture.data), sizeOf(next.data));
  return had.length < MOST_PICTURES && together <= LARGEST_TOGETHER;
}

export function sourceOf(picture: ImageData): string {
  return `data:${picture.media_type};base64,${picture.data}`;
}

/** The picture files of something that was pasted or dropped. */
export function picturesIn(transfer: DataTransfer | null): File[] {
  return [...(transfer?.files ?? [])].filter((file) => file.type.startsWith("image/"));
}

/** The file as it is sent: scaled down and encoded anew, which also drops where a photograph was taken. Throws
 * PictureProblem. */
export async function pictureOf(file: File): Promise<ImageData> {
  if (file.size > LARGEST_FILE) throw new PictureProblem(`“${file.name}” is too large.`);
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) throw new PictureProblem(`“${file.name}” is no picture that this browser can read.`);
  try {
    const blob = await encoded(bitmap, file.type);
    if (!blob) throw new PictureProblem(`“${file.name}” cannot be made small enough.`);
    return { media_type: blob.type, data: await readBase64(blob) };
  } finally {
    bitmap.close();
  }
}

async function encoded(bitmap: ImageBitmap, type: string): Promise<Blob | null> {
  const { width, height } = fitted(bitmap.width, bitmap.height);
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) return null;
  context.imageSmoothingQuality = "high";
  const isPhotograph = type === "image/jpeg";
  if (!isPhotograph) {
    context.drawImage(bitmap, 0, 0, width, height);
    const png = await blobOf(canvas, "image/png");
    if (png && png.size <= LARGE_PNG) return png;
  }
  // JPEG knows no transparency: without this it would be black.
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  for (const quality of QUALITIES) {
    const jpeg = await blobOf(canvas, "image/jpeg", quality);
    if (jpeg && jpeg.size <= LARGEST_PICTURE) return jpeg;
  }
  return null;
}

function blobOf(canvas: HTMLCanvasElement, type: string, quality?: number): Promise<Blob | null> {
  return new Promise((resolve) => canvas.toBlob(resolve, type, quality));
}

export function readBase64(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",", 2)[1] ?? "");
    reader.onerror = () => reject(new PictureProblem("The picture could not be read."));
    reader.readAsDataURL(blob);
  });
}

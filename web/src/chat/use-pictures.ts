import { useCallback, useEffect, useRef, useState } from "react";
import type { ImageData } from "../api/types";
import { announce, toast } from "../ui";
import { MOST_PICTURES, PictureProblem, pictureOf, roomBeside } from "./pictures";

export interface Attached {
  pictures: readonly ImageData[];
  busy: boolean;
  add: (files: readonly File[]) => Promise<void>;
  remove: (picture: ImageData) => void;
  replace: (pictures: ImageData[]) => void;
}

/** The pictures that go with what is typed. They do not outlive the page. */
export function usePictures(): Attached {
  const [pictures, show] = useState<readonly ImageData[]>([]);
  const [working, setWorking] = useState(0);
  const latest = useRef<readonly ImageData[]>([]);
  const gone = useRef(false);
  useEffect(() => {
    gone.current = false;
    return () => {
      gone.current = true;
    };
  }, []);
  const replace = useCallback((next: readonly ImageData[]) => {
    latest.current = next;
    show(next);
  }, []);
  const add = useCallback(
    async (files: readonly File[]) => {
      setWorking((count) => count + 1);
      for (const file of files.slice(0, MOST_PICTURES + 1)) {
        const picture = await read(file);
        if (gone.current) return;
        if (picture && !roomBeside(latest.current, picture)) {
          toast(`No more pictures fit into one message (${MOST_PICTURES} at most).`, "error");
          break;
        }
        if (picture) replace([...latest.current, picture]);
      }
      setWorking((count) => count - 1);
      announce(`${latest.current.length} attached`);
    },
    [replace],
  );
  const remove = useCallback(
    (picture: ImageData) => replace(latest.current.filter((other) => other !== picture)),
    [replace],
  );
  return { pictures, busy: working > 0, add, remove, replace };
}

async function read(file: File): Promise<ImageData | null> {
  try {
    return await pictureOf(file);
  } catch (error) {
    const text = error instanceof PictureProblem ? error.message : `“${file.name}” could not be read.`;
    toast(text, "error");
    return null;
  }
}

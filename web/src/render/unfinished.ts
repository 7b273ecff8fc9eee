import { createContext } from "react";

/** Whether the block in which something stands is still being written. */
export const Unfinished = createContext(false);

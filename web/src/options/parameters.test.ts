import { describe, expect, it } from "vitest";
import {
  bounded,
  changed,
  checkNumber,
  checkStops,
  checkSystem,
  NUMBER_FIELDS,
  type NumberField,
  type NumberName,
  stopsAsText,
} from "./parameters";

function field(name: NumberName): NumberField {
  const found = NUMBER_FIELDS.find((one) => one.name === name);
  if (!found) throw new Error(`no field ${name}`);
  return found;
}

describe("checkNumber", () => {
  it.each<[NumberName, string, number | null]>([
    ["temperature", "", null],
    ["temperature", "  ", null],
    ["temperature", "0", 0],
    ["temperature", "0.7", 0.7],
    ["temperature", "0,7", 0.7],
    ["temperature", " .5 ", 0.5],
    ["temperature", "5", 5],
    ["top_k", "40", 40],
    ["seed", "2147483647", 2147483647],
    ["num_ctx", "8192", 8192],
  ])("%s %j", (name, text, value) => {
    expect(checkNumber(field(name), text)).toEqual({ value, error: null });
  });

  it.each<[NumberName, string, RegExp]>([
    ["temperature", "warm", /not a number/],
    ["temperature", "1e1", /not a number/],
    ["temperature", "Infinity", /not a number/],
    ["temperature", "5.1", /Between 0 and 5/],
    ["temperature", "-1", /Between/],
    ["top_p", "1.01", /Between 0 and 1/],
    ["top_k", "1.5", /whole/],
    ["top_k", "1,5", /not a number/],
    ["num_predict", "0", /Between 1 and 10,000,000/],
    ["num_ctx", "255", /Between 256/],
    ["seed", "2147483648", /Between/],
  ])("%s %j is refused", (name, text, error) => {
    expect(checkNumber(field(name), text).error).toMatch(error);
  });
});

describe("bounded", () => {
  it("bounds the context by the model's window", () => {
    const context = bounded(field("num_ctx"), 4096);
    expect(checkNumber(context, "4096").error).toBeNull();
    expect(checkNumber(context, "4097").error).toMatch(/Between 256 and 4,096/);
    expect(context.about).toMatch(/up to 4,096/);
  });

  it("leaves the rest alone", () => {
    expect(bounded(field("num_ctx"), null)).toEqual(field("num_ctx"));
    expect(bounded(field("top_k"), 4096)).toEqual(field("top_k"));
  });
});

describe("stop strings", () => {
  it("are one a line, without repetition", () => {
    expect(checkStops("END\n\nEND\n###")).toEqual({ value: ["END", "###"], error: null });
    expect(checkStops("\n")).toEqual({ value: null, error: null });
  });

  it("can hold what a line cannot", () => {
    const stops = ["\n\n", "a\tb", "C:\\new"];
    expect(checkStops(stopsAsText(stops))).toEqual({ value: stops, error: null });
  });

  it("are bounded", () => {
    expect(checkStops("1\n2\n3\n4\n5\n6\n7\n8\n9").error).toMatch(/At most 8/);
    expect(checkStops("x".repeat(101)).error).toMatch(/At most 100/);
  });
});

describe("checkSystem", () => {
  it("takes blanks for none and counts characters", () => {
    expect(checkSystem("  \n").value).toBeNull();
    expect(checkSystem("Be short.").value).toBe("Be short.");
    expect(checkSystem("😀".repeat(20_000)).error).toBeNull();
    expect(checkSystem("x".repeat(20_001)).error).toMatch(/20,001/);
  });
});

describe("changed", () => {
  it("counts what is not the model's default", () => {
    expect(changed({ system: null, parameters: {} })).toBe(0);
    expect(changed({ system: "x", parameters: { temperature: 0, think: false, top_k: null } })).toBe(3);
  });
});

import { expect, it } from "vitest";
import { ApiError, wordsOf } from "./client";

it("what to do stands in a line of its own below what went wrong", () => {
  const problem = { type: "conflict", title: "Conflict", status: 409, detail: "camera a has record = \"off\" now" };
  expect(wordsOf(new ApiError(409, { ...problem, hint: "set record = \"manual\"" }))).toBe("camera a has record = \"off\" now\nset record = \"manual\"");
  expect(wordsOf(new ApiError(409, problem))).toBe(problem.detail);
});

import { afterEach, describe, expect, it } from "vitest";
import { LANGUAGES, type Language, language, t } from ".";
import { catalogue } from "./catalogue";

afterEach(() => language.set("en"));

describe("catalogue", () => {
  it("puts values in, and chooses by number", () => {
    expect(t("common.logged_in_as", { name: "Ada" })).toBe("Logged in as Ada");
    expect(t("common.login_wait", { n: 1 })).toContain("1 second.");
    expect(t("common.login_wait", { n: 5 })).toContain("5 seconds.");
    language.set("fr");
    // In French zero is singular.
    expect(t("common.login_wait", { n: 0 })).toContain("0 seconde.");
  });

  it("has the same names in braces in every language, and no empty text", () => {
    for (const [space, texts] of Object.entries(catalogue)) {
      const languages = Object.keys(LANGUAGES) as Language[];
      for (const key of Object.keys(texts.en)) {
        const names = languages.map((tongue) => {
          const message = (texts[tongue] as Record<string, unknown>)[key];
          const text = typeof message === "string" ? message : JSON.stringify(message);
          expect(text, `${space}.${key} in ${tongue}`).toBeTruthy();
          return [...new Set([...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]))].sort().join();
        });
        expect(new Set(names).size, `${space}.${key}: ${names.join(" | ")}`).toBe(1);
      }
    }
  });
});

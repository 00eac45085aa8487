import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import { store } from "~/lib/store";
import type { Path } from "~/live/driver";
import { BEFORE, type LiveView } from "~/live/view";
import { Sound } from "./tile";

afterEach(cleanup);

const by = (path: Path | null) => ({ state: store({ ...BEFORE, path }) }) as unknown as LiveView;

it("sound is turned on and off where the way has any", () => {
  const turn = vi.fn();
  const { rerender } = render(<Sound view={by("mse")} on={false} onTurn={turn} />);
  fireEvent.click(screen.getByRole("button", { name: "Turn sound on", pressed: false }));
  rerender(<Sound view={by("whep")} on onTurn={turn} />);
  fireEvent.click(screen.getByRole("button", { name: "Turn sound off", pressed: true }));
  expect(turn.mock.calls).toEqual([[true], [false]]);
});

it("a way with pictures only shows no sound, and says why", () => {
  const turn = vi.fn();
  for (const [path, name] of [["preview", "JPEG"], ["mjpeg", "MJPEG"], ["pictures", "JPEG 1/s"]] as const) {
    render(<Sound view={by(path)} on onTurn={turn} />);
    const button = screen.getByRole("button", { name: `No sound by ${name}: it brings pictures only`, pressed: false });
    expect(button.getAttribute("aria-disabled")).toBe("true");
    fireEvent.click(button);
    cleanup();
  }
  expect(turn).not.toHaveBeenCalled();
});

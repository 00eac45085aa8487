import { words } from "../words";

export const timeline = words({ title: "Timeline" }, { title: "Zeitleiste" }, { title: "Chronologie" });

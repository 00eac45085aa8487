/** How several cameras are put into one file. */
export type Layout = "side_by_side" | "stacked" | "grid" | "picture_in_picture" | "one_after_the_other";
export const LAYOUTS: Layout[] = ["side_by_side", "stacked", "grid", "picture_in_picture", "one_after_the_other"];
export const MOST_MERGED = 16;
